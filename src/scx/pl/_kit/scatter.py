"""Two dimensions of an embedding, and cells in them, which scanpy draws."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.artist import ArtistInspector
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend
from numpy.typing import NDArray
from scanpy import logging as logg

from scx import _anndata, _checks
from scx._checks import shown
from scx._types import check_type
from scx.pl._kit.figure import (
    ON_DATA,
    SEQUENTIAL,
    TINY,
    as_categories,
    check_cmap,
    color_bar,
    columns_below,
    label,
    legend_beside,
    legend_width,
    points,
    read_colors,
)

SIZES = (0.6, 40.0)
"""Smallest and largest area of a cell in square points."""
MAX_SHORT = 3
"""Names up to so many characters are written onto the data; longer ones stand beside them."""
N_NEIGHBORS = 15
"""Neighbours of each cell in a UMAP that is computed here, scanpy's number."""
MIN_UMAP_CELLS = 5
"""Fewer cells than this have no UMAP in two dimensions."""
MAX_SEED = 2**32 - 1
"""Largest seed that numpy, and so UMAP, takes."""
OURS = frozenset(
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
"""Arguments of scanpy's function that a plot sets itself, or whose data do not come with the cells that are drawn."""


def find_layout(adata: AnnData, use_rep: str, *, basis: str | None = None, rng: int = 0) -> tuple[str, NDArray]:
    """Return the name of a layout of an embedding in two dimensions, and the layout, shape (n_cells, 2).

    Parameters
    ----------
    adata
        Written to only where `basis` names a layout that is not there yet.
    use_rep
        The embedding, an array of ``obsm``.
    basis
        The layout, an array of ``obsm``. None takes the embedding itself if it has two dimensions, else a UMAP of it that is
        there: ``obsm[f"X_umap_{key}"]``, or ``obsm["X_umap"]`` where ``uns["neighbors"]`` rests on the embedding. Where none
        is, it is computed on a copy.
    rng
        Seed of the UMAP.
    """
    if basis is not None and basis not in adata.obsm and f"X_{basis}" in adata.obsm:
        basis = f"X_{basis}"
    if basis is None:
        basis = _stored(adata, use_rep)
    if basis is not None and basis in adata.obsm:
        layout = _anndata.check_representation(adata, "basis", basis)
        if layout.shape[1] < 2:
            msg = f"`adata.obsm[{basis!r}]` has one dimension; a plot needs two. Pass another `basis`."
            raise ValueError(msg)
        return basis.removeprefix("X_").split("_")[0], layout[:, :2]
    if basis is not None and (not basis.strip() or "/" in basis):
        msg = f"`basis={basis!r}` is no name under which a layout can be stored. Pass one such as 'X_umap_{use_rep}'."
        raise ValueError(msg)
    embedding = _anndata.check_representation(adata, "key", use_rep)
    _anndata.check_some_cells(adata, MIN_UMAP_CELLS)
    start = logg.info(f"computing neighbors and UMAP of {use_rep!r}")
    layout = umap(embedding, rng=rng)
    if basis is not None:
        adata.obsm[basis] = layout
        logg.info("    finished", time=start, deep=f"added\n    {basis!r}, UMAP (adata.obsm)")
    else:
        name = f"X_umap_{use_rep.removeprefix('X_')}"
        logg.info(
            "    finished", time=start, deep=f"not kept: pass `basis={name!r}` to have it stored and found next time"
        )
    return "umap", layout


def umap(embedding: NDArray, *, start: NDArray | None = None, rng: int = 0) -> NDArray[np.float32]:
    """Return the UMAP of an embedding, shape (n_cells, 2), by scanpy; it begins at `start`, of that shape, if there is one."""
    light = AnnData(obs=pd.DataFrame(index=pd.RangeIndex(len(embedding)).astype(str)), obsm={"X": embedding})
    if start is not None:
        light.obsm["start"] = start
    verbosity, sc.settings.verbosity = sc.settings.verbosity, 0
    try:
        sc.pp.neighbors(light, n_neighbors=min(N_NEIGHBORS, len(embedding) - 1), use_rep="X", random_state=rng)
        sc.tl.umap(light, init_pos="spectral" if start is None else "start", random_state=rng)
    finally:
        sc.settings.verbosity = verbosity
    return light.obsm["X_umap"].astype(np.float32)


def _stored(adata: AnnData, use_rep: str) -> str | None:
    """Return the layout of an embedding that is in ``obsm``, None if there is none."""
    array = adata.obsm.get(use_rep)
    if array is not None and array.ndim == 2 and array.shape[1] == 2:
        return use_rep
    own = f"X_umap_{use_rep.removeprefix('X_')}"
    if own in adata.obsm:
        return own
    neighbors = adata.uns.get("neighbors")
    params: Any = neighbors.get("params") if isinstance(neighbors, Mapping) else None
    known = params.get("use_rep") if isinstance(params, Mapping) else None
    return "X_umap" if "X_umap" in adata.obsm and known == use_rep else None


def check_seed(rng: int) -> None:
    """Raise unless `rng` is a seed of a UMAP."""
    _checks.check_positive_int("rng", rng, minimum=0, maximum=MAX_SEED)


def check_legend_loc(legend_loc: str | None) -> None:
    """Raise unless `legend_loc` is a place that scanpy or matplotlib knows, or None."""
    if legend_loc is not None:
        places = ["none", "right margin", "on data", "on data export", *Legend.codes]
        _checks.check_choice("legend_loc", legend_loc, places)


def check_options(adata: AnnData, options: Mapping[str, Any], *, every_cell: bool = True) -> None:
    """Raise unless `options` are arguments that :func:`scanpy.pl.embedding` can be called with here.

    Parameters
    ----------
    adata
        The cells.
    options
        By name.
    every_cell
        Whether cells are drawn all and in their order, so that there may be a size for each.
    """
    known = {*inspect.signature(sc.pl.embedding).parameters, *ArtistInspector(PathCollection).get_setters()}
    known |= {"plotnonfinite"}
    known -= OURS if every_cell else OURS | {"mask_obs"}
    for name in options:
        if name not in known:
            msg = f"Unknown argument `{name}`. Of those of `scanpy.pl.embedding`, a plot takes {', '.join(sorted(known))}."
            raise TypeError(msg)
    for name in ("cmap", "color_map"):
        if options.get(name) is not None:
            check_cmap(name, options[name])
    check_type("use_raw", options.get("use_raw"), bool | None)
    size = options.get("size")
    if size is not None:
        check_type("size", size, float | Sequence[float])
        areas = np.asarray(size)
        shapes = [(), (adata.n_obs,)] if every_cell else [()]
        if areas.dtype.kind not in "fiu" or areas.shape not in shapes or not ((areas > 0) & np.isfinite(areas)).all():
            each = f", or {adata.n_obs} of them, one per cell" if every_cell else ""
            msg = f"`size` must be a positive number, the area of a cell in square points{each}; got {shown(size)}."
            raise ValueError(msg)
    if options.get("layer") is not None:
        _anndata.check_layer(adata, options["layer"])
    if options.get("use_raw") and adata.raw is None:
        msg = "`use_raw=True`, but `adata.raw` is empty. Leave `use_raw` out."
        raise ValueError(msg)


@contextmanager
def passing_on(options: Mapping[str, Any]) -> Iterator[None]:
    """Have errors of scanpy and matplotlib name the arguments that were passed on to them."""
    try:
        yield
    except Exception as error:
        if not options:
            raise
        values = ", ".join(f"`{name}={shown(value)}`" for name, value in options.items())
        msg = f"scanpy.pl.embedding cannot draw with {values}: {error} Correct or leave out what it names."
        raise ValueError(msg) from error


def check_colors(adata: AnnData, colors: list[str]) -> None:
    """Raise unless each of `colors` is a column of ``obs`` or a gene."""
    genes = adata.var_names if adata.raw is None else adata.var_names.union(adata.raw.var_names)
    for color in colors:
        if color in adata.obs:
            _anndata.check_column(adata, "color", color)
        elif not adata.obs.columns.is_unique:  # scanpy reads no gene then
            msg = f"`color={color!r}` cannot be read: `adata.obs` has several columns of one name. Rename them."
            raise ValueError(msg)
        elif color not in genes:
            msg = f"Unknown `color`: {color!r} is neither a gene nor one of `adata.obs`: {', '.join(map(repr, adata.obs))}."
            raise ValueError(msg)
        elif (adata.var_names == color).sum() > 1:
            msg = f"`color={color!r}` names several genes. Call `adata.var_names_make_unique()` first."
            raise ValueError(msg)


def draw_cells(
    ax: Axes, adata: AnnData, name: str, layout: NDArray, color: str, *, title: str | None, height: float, **kwargs: Any
) -> None:
    """Draw cells by :func:`scanpy.pl.embedding`, rasterised, on a light copy; only colours come back to `adata`.

    Parameters
    ----------
    ax
        Axes to draw into.
    adata
        Has the values of `color`; palettes in its ``uns`` are used, and filled in.
    name
        Name of the layout on the axes.
    layout
        Shape (n_cells, 2).
    color
        Column of ``obs``, or a gene.
    title
        Title of the panel; None for `color`.
    height
        Height of the panel in inches, by which legends are laid out.
    **kwargs
        Arguments of :func:`scanpy.pl.embedding`, and ``legend_below``: the width that a legend may take below the panel.
    """
    layer = kwargs.pop("layer", None)
    below = kwargs.pop("legend_below", None)
    use_raw = kwargs.pop("use_raw", None)
    if color in adata.obs:
        values = adata.obs[[color]].copy()
    else:
        raw = adata.raw is not None and layer is None if use_raw is None else use_raw
        if not raw:
            _anndata.check_layer(adata, layer)
        values = sc.get.obs_df(adata, [color], layer=layer, use_raw=raw)
    if not is_number(values[color]):
        values[color] = as_categories(values[color])  # scanpy takes dates and mixed types for numbers
        if kwargs.get("palette") is None:
            read_colors(adata, color)
    palette = f"{color}_colors"
    kept = {palette: adata.uns[palette]} if palette in adata.uns else {}
    light = AnnData(obs=values, obsm={name.upper(): layout}, uns=kept)
    before = len(ax.texts)
    loc = kwargs.pop("legend_loc", None) or default_legend(values[color])
    bar = kwargs.pop("colorbar_loc", "right")
    settings = {
        # scanpy's size is made for panels of four inches
        "size": float(np.clip(120_000 / len(layout) * (height / 4) ** 2, *SIZES)),
        "legend_fontsize": TINY,
        "legend_fontoutline": 1.5,
        "cmap": None if {"cmap", "color_map"} & kwargs.keys() else SEQUENTIAL,
        **kwargs,
        "colorbar_loc": None,
    }
    sc.pl.embedding(light, name.upper(), color=color, ax=ax, show=False, legend_loc=loc, **settings)
    if palette in light.uns:
        adata.uns[palette] = light.uns[palette]
    for collection in ax.collections:
        collection.set_rasterized(True)
    label(ax, title=color if title is None else title, x=f"{name.upper()} 1", y=f"{name.upper()} 2")
    if loc == "right margin":
        legend_beside(ax, height, below=below)
    for text in ax.texts[before:]:
        text.set_gid(ON_DATA)
    ax.set_box_aspect(1)
    if bar is not None and is_number(values[color]):
        color_bar(ax, ax.collections[-1])


def default_legend(values: pd.Series) -> str:
    """Return where the names of categories go: short ones onto the data, where they are read without colours."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "on data" if max(map(len, map(str, values.cat.categories)), default=0) <= MAX_SHORT else "right margin"
    return "right margin"


def height_below(values: pd.Series, width: float) -> float:
    """Return the height in inches of a legend below a panel of a width; 0 for numbers."""
    if is_number(values):
        return 0.0
    names = list(values.astype("category").cat.categories)
    return np.ceil(len(names) / columns_below(names, width)) * 1.5 * points() / 72


def is_number(values: pd.Series) -> bool:
    """Return whether values are drawn as shades with a colour bar."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def room_beside(values: pd.Series, loc: str | None, height: float) -> float:
    """Return the width in inches that the legend or colour bar of a panel takes."""
    if is_number(values):
        return 0.5
    if (loc or default_legend(values)) != "right margin":
        return 0.0
    names = list(values.astype("category").cat.categories) + (["NA"] if values.isna().any() else [])
    return legend_width(names, height)
