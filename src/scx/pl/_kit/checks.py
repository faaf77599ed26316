"""Checks of arguments that several plots share."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import scanpy as sc
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.artist import ArtistInspector
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Colormap
from matplotlib.legend import Legend

from scx import _anndata, _checks
from scx._types import check_type
from scx.pl._kit.panels import figure_of

MAX_SEED = 2**32 - 1
"""Largest seed that numpy, and so UMAP, takes."""
NOT_PASSED_ON = frozenset(
    [
        "adata",
        "basis",
        "color",
        "ax",
        "show",
        "return_fig",
        "save",
        "title",
        "ncols",
        "hspace",
        "wspace",
        "legend_loc",
        "gene_symbols",
        "edges",
        "edges_width",
        "edges_color",
        "neighbors_key",
        "arrows",
        "arrows_kwds",
        "components",
        "dimensions",
        "projection",
        "scale_factor",
        "kwargs",
    ]
)
"""Arguments of scanpy's function that a plot sets itself, or that need data which it withholds."""


def check_axes(ax: Axes | None) -> None:
    """Raise unless `ax` is None, or Axes with x and y in an open figure."""
    if ax is None:
        return
    number = getattr(figure_of(ax), "number", None)
    if number is not None and not plt.fignum_exists(number):
        msg = (
            "The figure of `ax` is closed. Pass Axes of an open figure, such as `plt.subplots()[1]`, "
            "or None for a new one."
        )
        raise ValueError(msg)
    if ax.name != "rectilinear":
        msg = f"`ax` must be Axes with x and y, got a {ax.name} projection. Make them without `projection`."
        raise ValueError(msg)


def check_cmap(name: str, cmap: object) -> None:
    """Raise unless `cmap` is a colour map, or the name of one that matplotlib knows."""
    check_type(name, cmap, str | Colormap)
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        msg = f"Unknown `{name}`: {cmap!r}. `list(matplotlib.colormaps)` has the names of all colour maps."
        raise ValueError(msg)


def check_seed(rng: int) -> None:
    """Raise unless `rng` is a seed that UMAP takes."""
    _checks.check_positive_int("rng", rng, minimum=0, maximum=MAX_SEED)


def check_legend_loc(legend_loc: str | None) -> None:
    """Raise unless `legend_loc` is a place that scanpy or matplotlib knows, or None."""
    if legend_loc is not None:
        places = ["none", "right margin", "on data", "on data export", *Legend.codes]
        _checks.check_choice("legend_loc", legend_loc, places)


def check_color(adata: AnnData, colors: Sequence[str]) -> None:
    """Raise unless each of `colors` is a column of ``obs`` or a gene."""
    genes = adata.var_names if adata.raw is None else adata.var_names.union(adata.raw.var_names)
    for color in colors:
        if color in adata.obs:
            _anndata.check_column(adata, "color", color)
        elif not adata.obs.columns.is_unique:  # scanpy cannot read a gene then
            msg = f"`color={color!r}` cannot be read: `adata.obs` has several columns of one name. Rename them."
            raise ValueError(msg)
        elif color not in genes:
            columns = ", ".join(map(repr, adata.obs))
            msg = f"Unknown `color`: {color!r} is neither a gene nor one of `adata.obs`: {columns}."
            raise ValueError(msg)
        elif (adata.var_names == color).sum() > 1:
            msg = f"`color={color!r}` names several genes. Call `adata.var_names_make_unique()` first."
            raise ValueError(msg)


def check_scanpy_options(adata: AnnData, options: Mapping[str, Any], *, all_cells: bool = True) -> None:
    """Raise unless `options` are arguments of :func:`scanpy.pl.embedding` that can be passed on.

    Parameters
    ----------
    adata
        The cells.
    options
        Arguments by name.
    all_cells
        Whether all cells are drawn, in their order. Only then, arguments with one value per cell
        are allowed.
    """
    known = {*inspect.signature(sc.pl.embedding).parameters, *ArtistInspector(PathCollection).get_setters()}
    known |= {"plotnonfinite"}
    known -= NOT_PASSED_ON if all_cells else NOT_PASSED_ON | {"mask_obs"}
    for name in options:
        if name not in known:
            msg = (
                f"Unknown argument `{name}`. The arguments of `scanpy.pl.embedding` that a plot takes are "
                f"{', '.join(sorted(known))}."
            )
            raise TypeError(msg)
    for name in ("cmap", "color_map"):
        if options.get(name) is not None:
            check_cmap(name, options[name])
    check_type("use_raw", options.get("use_raw"), bool | None)
    if options.get("size") is not None:
        _check_size(adata, options["size"], all_cells=all_cells)
    if options.get("layer") is not None:
        _anndata.check_layer(adata, options["layer"])
    raw: object = adata.raw  # anndata does not annotate that it can be None
    if options.get("use_raw") and raw is None:
        msg = "`use_raw=True`, but `adata.raw` is empty. Omit `use_raw`."
        raise ValueError(msg)


def _check_size(adata: AnnData, size: object, *, all_cells: bool) -> None:
    """Raise unless `size` is the area of a cell, or, for `all_cells`, one area per cell."""
    check_type("size", size, float | Sequence[float])
    areas = np.asarray(size)
    shapes = [(), (adata.n_obs,)] if all_cells else [()]
    if areas.dtype.kind not in "fiu" or areas.shape not in shapes or not ((areas > 0) & np.isfinite(areas)).all():
        per_cell = f", or {adata.n_obs} of them, one per cell" if all_cells else ""
        msg = (
            f"`size` must be a positive number, the area of a cell in square points{per_cell}; "
            f"got {_checks.short_repr(size)}."
        )
        raise ValueError(msg)
