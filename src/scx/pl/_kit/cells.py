"""Cells on a layout in two dimensions, drawn by scanpy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scx import _anndata
from scx._checks import short_repr
from scx._workflow.read import as_categories, read_obs
from scx.pl._kit.colors import SEQUENTIAL, palette_name, read_colors
from scx.pl._kit.legends import color_bar, default_legend_loc, is_number, legend_beside
from scx.pl._kit.text import ON_DATA, TICK_TEXT, set_labels

SIZES = (0.6, 40.0)
"""Smallest and largest area of a cell in square points."""


@contextmanager
def naming_scanpy_options(options: Mapping[str, Any]) -> Iterator[None]:
    """Make errors of scanpy and matplotlib name the options that were passed on to them."""
    try:
        yield
    except Exception as error:
        if not options:
            raise
        values = ", ".join(f"`{name}={short_repr(value)}`" for name, value in options.items())
        msg = f"scanpy.pl.embedding cannot draw with {values}: {error} Correct or omit what it names."
        raise ValueError(msg) from error


def draw_cells(
    ax: Axes,
    adata: AnnData,
    name: str,
    layout: NDArray[np.floating],
    color: str,
    *,
    title: str | None,
    height: float,
    legend_loc: str | None = None,
    legend_below: float | None = None,
    colorbar_loc: str | None = "right",
    layer: str | None = None,
    use_raw: bool | None = None,
    **options: Any,
) -> None:
    """Draw cells with :func:`scanpy.pl.embedding`, rasterised; write only palettes to `adata`.

    Parameters
    ----------
    ax
        Axes to draw into.
    adata
        Has the values of `color`. Palettes in its ``uns`` are used; missing ones are filled in.
    name
        Name of the layout on the axes.
    layout
        Shape (n_cells, 2).
    color
        Column of ``obs``, or a gene.
    title
        Title of the panel; None for `color`.
    height
        Height of the panel in inches, for the layout of the legend.
    legend_loc
        As in :func:`scanpy.pl.embedding`; None writes short names onto the data and lists others
        beside it.
    legend_below
        Width in inches that the legend may take below the panel; None puts it to the right.
    colorbar_loc
        None draws no colour bar.
    layer, use_raw
        Where the values of a gene come from.
    **options
        Further arguments of :func:`scanpy.pl.embedding`.
    """
    values = _values_of(adata, color, layer, use_raw)
    if not is_number(values):
        values = as_categories(values)  # scanpy takes dates and mixed types for numbers
        if options.get("palette") is None:
            read_colors(adata, color)
    palette = palette_name(color)
    cells = AnnData(obs=values.to_frame(color), uns={palette: adata.uns[palette]} if palette in adata.uns else {})
    cells.obsm[name.upper()] = layout
    n_texts = len(ax.texts)
    loc = legend_loc or default_legend_loc(values)
    settings: dict[str, Any] = {
        "legend_loc": loc,
        # scanpy's size is made for panels of four inches
        "size": float(np.clip(120_000 / len(layout) * (height / 4) ** 2, *SIZES)),
        "legend_fontsize": TICK_TEXT,
        "legend_fontoutline": 1.5,
        "cmap": None if {"cmap", "color_map"} & options.keys() else SEQUENTIAL,
        **options,
        "colorbar_loc": None,
    }
    sc.pl.embedding(cells, name.upper(), color=color, ax=ax, show=False, **settings)
    if palette in cells.uns:
        adata.uns[palette] = cells.uns[palette]
    for collection in ax.collections:
        collection.set_rasterized(True)
    set_labels(ax, title=color if title is None else title, x=f"{name.upper()} 1", y=f"{name.upper()} 2")
    if loc == "right margin":
        legend_beside(ax, height, width_below=legend_below)
    for text in ax.texts[n_texts:]:
        text.set_gid(ON_DATA)
    ax.set_box_aspect(1)
    if colorbar_loc is not None and is_number(values):
        color_bar(ax, ax.collections[-1])


def _values_of(adata: AnnData, color: str, layer: str | None, use_raw: bool | None) -> pd.Series:
    """Return a column of ``obs``, or the values of a gene, by cell."""
    obs = read_obs(adata)
    if color in obs:
        return obs[color].copy()
    from_raw = adata.raw is not None and layer is None if use_raw is None else use_raw
    if not from_raw:
        _anndata.check_layer(adata, layer)
    values: pd.DataFrame = sc.get.obs_df(adata, [color], layer=layer, use_raw=from_raw)
    return values[color]
