from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx._workflow.read import read_embedding, read_obs
from scx.pl._kit.cells import draw_cells, naming_scanpy_options
from scx.pl._kit.checks import check_color, check_legend_loc, check_scanpy_options, check_seed
from scx.pl._kit.colors import match_colors
from scx.pl._kit.layout import find_layout
from scx.pl._kit.legends import COLOR_BAR_WIDTH, height_below, is_number, width_beside
from scx.pl._kit.panels import COLUMN_WIDTH, make_panels, size_of
from scx.pl._kit.plot import PlotResult, finish, plot

HEIGHT = 2.4
"""Height of a panel in inches."""


@document
@typed
@plot
def embedding(
    adata: AnnData,
    key: str,
    *,
    color: str | Sequence[str] | None = None,
    basis: str | None = None,
    ncols: int = 2,
    title: str | Sequence[str] | None = None,
    legend_loc: str | None = None,
    rng: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> PlotResult:
    """Draw the embedding of a method in two dimensions, coloured by clusters, labels or genes.

    Parameters
    ----------
    adata
        Cells × genes, with an embedding of scx. Only palettes are written to it, and a layout that
        `basis` names.
    key
        Name under which the method wrote, its `key_added`.
    color
        Columns of ``obs`` or genes, one panel each; None for the clusters. Categories with the same
        name have the same colour, unless palettes in ``uns`` say otherwise. Cells that a method of
        scx treated as unlabelled are grey.
    basis
        Array of ``obsm`` with the layout. If it does not exist, neighbours and UMAP are computed
        and stored under this name. None takes the first that exists of: ``X_{key}`` itself, if it
        has two dimensions; ``obsm[f"X_umap_{key}"]``; ``obsm["X_umap"]``, if ``uns["neighbors"]``
        was computed from ``X_{key}``. If none exists, a UMAP is computed on a copy and not stored.
    ncols
        Number of panels side by side.
    title
        Title of each panel; None for the names in `color`.
    legend_loc
        As in :func:`scanpy.pl.embedding`. None writes short names, such as those of clusters, onto
        the data, and lists long ones beside it.
    rng
        Seed of a UMAP that is computed.
    {plot_parameters}
    **kwargs
        Arguments of :func:`scanpy.pl.embedding`, such as ``size``, ``palette`` or ``groups``. If
        scanpy or matplotlib cannot use one, the error quotes their message.

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If there is no embedding under `key` (the message has the call that computes it), or an
        argument is invalid; `adata` is unchanged.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> colors = ["contrastive", "bulk_labels"]
    >>> scx.pl.embedding(adata, "contrastive", color=colors, basis="X_umap_contrastive")
    """
    read_embedding(adata, key)
    colors = [Keys(key).clusters] if color is None else [color] if isinstance(color, str) else list(color)
    check_color(adata, colors)
    _checks.check_positive_int("ncols", ncols)
    check_seed(rng)
    check_legend_loc(legend_loc)
    check_scanpy_options(adata, kwargs)
    titles = [None] * len(colors) if title is None else [title] if isinstance(title, str) else list(title)
    if len(titles) != len(colors):
        msg = f"`title` must be one per panel, {len(colors)} in all; got {len(titles)}."
        raise ValueError(msg)
    name, layout = find_layout(adata, Keys(key).embedding, basis=basis, rng=rng)
    n_cols = min(ncols, len(colors))
    n_rows = -(-len(colors) // n_cols)
    obs = read_obs(adata)
    columns = [color for color in colors if color in obs]
    beside = np.zeros((n_rows, n_cols))
    beside.flat[: len(colors)] = [
        width_beside(obs[color], legend_loc, HEIGHT) if color in columns else COLOR_BAR_WIDTH for color in colors
    ]
    widths = beside.max(axis=0) + 2.5
    panel_width = (COLUMN_WIDTH if n_cols == 1 else np.inf) if ax is None else size_of(ax)[0] / n_cols
    height, legend_below = HEIGHT + 0.5, None
    if beside.max() > 0.5 * panel_width:  # too narrow for a legend beside the panel
        legend_below = panel_width
        widths[:] = panel_width
        height += max((height_below(obs[column], panel_width) for column in columns), default=0.0)
    size = (max(widths.sum(), COLUMN_WIDTH), height * n_rows)
    fig, axes = make_panels(ax, n_rows, n_cols, size=size)
    if kwargs.get("palette") is None:
        match_colors(adata, [column for column in columns if not is_number(obs[column])])
    settings = {"height": HEIGHT, "legend_loc": legend_loc, "legend_below": legend_below, **kwargs}
    with naming_scanpy_options(kwargs):
        for panel, color, heading in zip(axes.flat, colors, titles, strict=False):
            draw_cells(panel, adata, name, layout, color, title=heading, **settings)
        for panel in axes.flat[len(colors) :]:
            panel.remove()
        return finish(fig, list(axes.flat[: len(colors)]), show, return_fig)
