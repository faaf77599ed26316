"""How a plot begins and ends: checked arguments, all or nothing, and what it returns."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps

import scanpy as sc
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scx import _anndata
from scx.pl._kit.checks import check_axes
from scx.pl._kit.panels import figure_of, settle
from scx.pl._kit.text import fit_tick_labels, keep_title_inside, spread_texts

type PlotResult = Figure | Axes | list[Axes] | None
"""What a plot returns."""


def plot[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments that all plots share, and undo what a plot did if it fails."""
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = signature.bind(*args, **kwargs).arguments
        for name, value in arguments.items():
            if name != "kwargs":
                _anndata.check_not_empty(name, value)
        adata, ax = arguments.get("adata"), arguments.get("ax")
        if isinstance(adata, AnnData) and adata.isbacked and adata.is_view:
            msg = (
                "`adata` is a view of an AnnData on disk; palettes cannot be written to it. "
                "Read it first with `adata = adata.to_memory()`."
            )
            raise ValueError(msg)
        check_axes(ax)
        with _undone_on_failure(adata, ax):
            return function(*args, **kwargs)

    return checked


@contextmanager
def _undone_on_failure(adata: AnnData | None, ax: Axes | None) -> Iterator[None]:
    """On failure, close new figures, remove new panels, and restore palettes and layouts."""
    figures = set(plt.get_fignums())
    panels = [] if ax is None else list(figure_of(ax).axes)
    axis_is_on = ax.axison if ax is not None else False
    uns, obsm = ({}, {}) if adata is None else (dict(adata.uns), dict(adata.obsm))
    try:
        yield
    except BaseException:
        for number in set(plt.get_fignums()) - figures:
            plt.close(number)
        if ax is not None:
            ax.axison = axis_is_on
            for panel in figure_of(ax).axes:
                if panel not in panels:
                    panel.remove()
        if adata is not None:
            for name in [name for name in adata.obsm if name not in obsm]:
                del adata.obsm[name]
            for name in [name for name in adata.uns if name not in uns]:
                del adata.uns[name]
            for name, before in uns.items():
                if adata.uns[name] is not before:
                    adata.uns[name] = before
        raise


def finish(fig: Figure, axes: Sequence[Axes], show: bool | None, return_fig: bool | None) -> PlotResult:
    """Show the figure, or return it or its Axes, as scanpy does."""
    settle(fig)
    for ax in axes:
        fit_tick_labels(ax)
        keep_title_inside(ax)
        spread_texts(ax)
    if return_fig:
        return fig
    if sc.settings.autoshow if show is None else show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else list(axes)
