"""What the plots share: panels, fonts, colours, the check of keys, and how a plot ends."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import chain, cycle, islice, repeat
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, is_color_like
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.gridspec import GridSpec
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray
from scanpy.plotting.palettes import default_20, default_102
from scipy.optimize import linear_sum_assignment

from scx import _anndata
from scx._checks import shown
from scx._compat import fill_colors
from scx._types import check_type
from scx._workflow.keys import Keys

type Drawn = Figure | Axes | list[Axes] | None
"""What a plot returns."""

COLUMN = 3.5
"""Width in inches of one column of a journal."""
SMALL = "small"
"""Size of the text of axes, relative to matplotlib's ``font.size``."""
TINY = "x-small"
"""Size of ticks and legends."""
SMALLEST = 5.0
"""Text is not made smaller than so many points."""
MAX_DRAWS = 8
"""A layout that has not settled after so many draws is left as it is."""
LINES = ("-", "--", "-.", ":")
"""Line styles, so that curves are told apart without their colours."""
MARKERS = "osD^vPX*<>"
"""Markers, likewise."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours of curves, distinct with every kind of colour vision, from dark to light and back (Okabe and Ito)."""
ON_DATA = "scx: on data"
"""Mark of texts that stand on the data, which are moved apart in the end."""
UNLABELED = "#d3d3d3"
"""Colour of cells without a label, scanpy's of missing values."""
SEQUENTIAL = "cividis"
"""Colour map of numbers: the same order in greyscale and with every kind of colour vision."""


# ----- all or nothing


def plot[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Have the arguments of a plot checked before it draws, and all left as it was if it fails."""
    signature = inspect.signature(function)

    @wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = signature.bind(*args, **kwargs).arguments
        for name, value in arguments.items():
            if name != "kwargs":
                _anndata.check_not_empty(name, value)
        data = arguments.get("adata")
        if isinstance(data, AnnData) and data.isbacked and data.is_view:
            msg = (
                "`adata` is a view of an AnnData on disk, which palettes cannot be written to. "
                "Read it first with `adata = adata.to_memory()`."
            )
            raise ValueError(msg)
        check_axes(arguments.get("ax"))
        with _as_before(next(iter(arguments.values())), arguments.get("ax")):
            return function(*args, **kwargs)

    return drawn


@contextmanager
def _as_before(adata: Any, ax: Axes | None) -> Iterator[None]:
    """If drawing fails, close figures and remove panels that it made, and take palettes and layouts back that it wrote."""
    figures = set(plt.get_fignums())
    panels = [] if ax is None else list(ax.get_figure(root=True).axes)  # type: ignore[union-attr]
    axis_is_on = ax.axison if ax is not None else False
    held = {"uns": dict(adata.uns), "obsm": dict(adata.obsm)} if isinstance(adata, AnnData) else {}
    try:
        yield
    except BaseException:
        for number in set(plt.get_fignums()) - figures:
            plt.close(number)
        if ax is not None:
            ax.axison = axis_is_on
            for panel in ax.get_figure(root=True).axes:  # type: ignore[union-attr]
                if panel not in panels:
                    panel.remove()
        for where, before in held.items():
            now = getattr(adata, where)
            for name in [name for name in now if name not in before]:
                del now[name]
            for name in [name for name in before if where == "uns" and now[name] is not before[name]]:
                now[name] = before[name]
        raise


def check_axes(ax: Axes | None) -> None:
    """Raise unless `ax` is None or Axes that can be drawn into: with x and y, in a figure that is open."""
    if ax is None:
        return
    figure = ax.get_figure(root=True)
    if figure is None:
        msg = "`ax` was removed from its figure. Pass other Axes, or None for a new figure."
        raise ValueError(msg)
    number = getattr(figure, "number", None)
    if number is not None and not plt.fignum_exists(number):
        msg = "The figure of `ax` is closed. Pass Axes of an open figure, such as `plt.subplots()[1]`, or None for a new one."
        raise ValueError(msg)
    if ax.name != "rectilinear":
        msg = f"`ax` must be Axes with x and y, got a {ax.name} projection. Make them without `projection`."
        raise ValueError(msg)


def check_cmap(name: str, cmap: Any) -> None:
    """Raise unless `cmap` is a colour map, or the name of one that matplotlib knows."""
    check_type(name, cmap, str | Colormap)
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        msg = f"Unknown `{name}`: {cmap!r}. `list(matplotlib.colormaps)` has the names of all colour maps."
        raise ValueError(msg)


# ----- keys


def method_of(key: str) -> str:
    """Return the call that computes what is written under `key`."""
    from scx import tl

    return f"scx.tl.{key}(adata)" if key in tl.__all__ else f"scx.tl.contrastive(adata, key_added={key!r})"


def read_record(adata: AnnData, key: str, *entries: str) -> Mapping[str, Any]:
    """Return ``adata.uns[key]``; raise unless scx wrote it, and it has the `entries`."""
    found = adata.uns.get(Keys(key).uns)
    if not isinstance(found, Mapping) or "scx_version" not in found:
        known = [name for name, entry in adata.uns.items() if isinstance(entry, Mapping) and "scx_version" in entry]
        msg = (
            f"There is no result of scx under `key={key!r}`. Compute it with `{method_of(key)}`. "
            f"`adata` holds results under {', '.join(map(repr, known)) or 'no key'}."
        )
        raise ValueError(msg)
    for entry in ("params", "history", "phases", "n_clusters", "calibration"):
        if entry in found and not isinstance(found[entry], Mapping):
            msg = f"`key={key!r}`: `adata.uns[{key!r}][{entry!r}]` is no dict, so it was changed. Run `{method_of(key)}` again."
            raise ValueError(msg)
    for entry in entries:
        if not found.get(entry):
            msg = f"`key={key!r}`: `adata.uns[{key!r}]` has no {entry!r}. Compute it with `{method_of(key)}`."
            raise ValueError(msg)
    return found


def read_embedding(adata: AnnData, key: str) -> NDArray:
    """Return the embedding under `key`; raise with the call that computes it."""
    name = Keys(key).embedding
    if name not in adata.obsm:
        msg = f"`key={key!r}`: there is no embedding `adata.obsm[{name!r}]`. Compute it with `{method_of(key)}`."
        raise ValueError(msg)
    return _anndata.check_representation(adata, "key", name)


def read_categories(adata: AnnData, name: str, *, what: str = "labels_key") -> pd.Series:
    """Return a column of ``obs`` as categories without unused ones; raise unless it is there.

    Parameters
    ----------
    adata
        Not changed.
    name
        Name of the column.
    what
        ``"labels_key"`` for reference labels, ``"key"`` for clusters of scx, for the message.
    """
    if name not in adata.obs:
        if what == "key":
            msg = f"`key={name!r}`: there are no clusters `adata.obs[{name!r}]`. Compute them with `{method_of(name)}`."
        else:
            msg = (
                f"There are no labels `adata.obs[{name!r}]`. Pass as `{what}` one of "
                f"{', '.join(map(repr, adata.obs.columns))}, or add the column."
            )
        raise ValueError(msg)
    column = _anndata.check_column(adata, what, name)
    if column.isna().all():
        msg = f"No cell has a value in `adata.obs[{name!r}]`. Pass another column as `{what}`."
        raise ValueError(msg)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    return column.cat.remove_unused_categories()


def as_categories(values: pd.Series) -> pd.Series:
    """Return values of ``obs`` as categories, in the order in which scanpy looks for their colours."""
    light = AnnData(obs=pd.DataFrame({"values": values}))
    light.strings_to_categoricals()
    return light.obs["values"].astype("category")


# ----- colours


def read_colors(adata: AnnData, name: str, like: Sequence[str] = ()) -> dict[Any, str]:
    """Return the colour of each category of ``obs[name]``: those of ``uns[f"{name}_colors"]``, filled in where it is missing.

    Parameters
    ----------
    adata
        Palettes that are missing are written to ``uns``.
    name
        Column of ``obs``.
    like
        Columns of ``obs`` whose categories give their colours to those of the same name where the palette is filled in, the
        first column that has the name; where there are such, categories of other names get other colours than any of these.
    """
    light = AnnData(obs=pd.DataFrame({name: as_categories(adata.obs[name])}))
    categories = light.obs[name].cat.categories
    stored = _stored_colors(adata, name)
    if stored is None or len(stored) < len(categories):
        fill_colors(light, name)
        stored = list(light.uns[f"{name}_colors"])
        given = {category: color for other in reversed(like) for category, color in read_colors(adata, other).items()}
        given |= dict.fromkeys(_unlabeled(adata, name, categories), UNLABELED)
        if not given.keys().isdisjoint(categories):
            taken = {color.lower() for color in given.values()}
            others = [
                color for color in dict.fromkeys([*stored, *default_20, *default_102]) if color.lower() not in taken
            ]
            free = chain(others, repeat(stored[-1]))
            stored = [given[category] if category in given else next(free) for category in categories]
        adata.uns[f"{name}_colors"] = stored
    return dict(zip(categories, stored, strict=False))


def _stored_colors(adata: AnnData, name: str) -> Sequence[Any] | None:
    """Return the palette in ``uns`` of a column of ``obs``, None if there is none; raise if it is none."""
    stored = adata.uns.get(f"{name}_colors")
    if stored is not None and (np.ndim(stored) == 0 or not all(map(is_color_like, stored))):
        msg = f"`adata.uns[{f'{name}_colors'!r}]` must list colours of matplotlib, got {shown(stored)}. Correct or delete it."
        raise ValueError(msg)
    return stored


def match_colors(adata: AnnData, names: Sequence[str]) -> None:
    """Fill in the palettes that are missing of columns of ``obs``, so that categories of one name have one colour."""
    ordered = sorted(names, key=lambda name: f"{name}_colors" not in adata.uns)
    for i, name in enumerate(ordered):
        read_colors(adata, name, like=ordered[:i])


def _unlabeled(adata: AnnData, name: str, categories: pd.Index) -> list[Any]:
    """Return the categories of ``obs[name]`` that a method of scx, which learned from these labels, took for no label."""
    records = [entry for entry in adata.uns.values() if isinstance(entry, Mapping) and "scx_version" in entry]
    every = [record["params"] for record in records if isinstance(record.get("params"), Mapping)]
    none = {str(params["unlabeled_category"]) for params in every if params.get("labels_key") == name}
    return [category for category in categories if none and (str(category) in none or not str(category).strip())]


def styles(n: int) -> list[dict[str, Any]]:
    """Return `n` styles of curves that differ in colour, line and marker."""
    every = zip(cycle(COLORS), cycle(LINES), cycle(MARKERS), strict=False)
    return [
        {"color": color, "linestyle": line, "marker": marker, "markersize": 3.5, "linewidth": 1.2}
        for color, line, marker in islice(every, n)
    ]


# ----- panels


def make_panels(
    ax: Axes | None,
    n_rows: int = 1,
    n_cols: int = 1,
    *,
    size: tuple[float, float],
    n_wide: int = 0,
    **ratios: Any,
) -> tuple[Figure, NDArray]:
    """Return a figure and its Axes, rows × columns.

    Parameters
    ----------
    ax
        Axes to draw into, which several panels divide; None makes a figure.
    n_rows, n_cols
        Number of panels.
    size
        Width and height of a new figure in inches.
    n_wide
        Of the rows, so many at the bottom have a single panel.
    **ratios
        ``width_ratios``, ``height_ratios`` of the panels.
    """
    if ax is None:
        fig = plt.figure(figsize=size, layout="constrained")
        grid = fig.add_gridspec(n_rows, n_cols, **ratios)
    else:
        fig = ax.get_figure(root=True)  # type: ignore[assignment]
        if n_rows == n_cols == 1:
            return fig, np.array([[ax]])
        spec, box = ax.get_subplotspec(), ax.get_position()
        ax.set_axis_off()
        if spec is not None:
            grid = spec.subgridspec(n_rows, n_cols, **ratios)  # type: ignore[assignment]
        else:
            edges = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
            grid = GridSpec(n_rows, n_cols, figure=fig, **edges, **ratios)
    rows = [[fig.add_subplot(grid[row, col]) for col in range(n_cols)] for row in range(n_rows - n_wide)]
    rows += [[fig.add_subplot(grid[row, :])] * n_cols for row in range(n_rows - n_wide, n_rows)]
    return fig, np.array(rows)


def finish(fig: Figure, axes: Sequence[Axes], show: bool | None, return_fig: bool | None) -> Drawn:
    """Show the figure, or return it or its Axes, as scanpy does."""
    settle(fig)
    for ax in axes:
        thin_ticks(ax)
        keep_title_inside(ax)
        spread_texts(ax)
    if return_fig:
        return fig
    if sc.settings.autoshow if show is None else show:
        plt.show()
        return None
    return axes[0] if len(axes) == 1 else list(axes)


def settle(fig: Figure) -> None:
    """Draw until panels have found their places: what stands beside them changes their size, and the other way round."""
    before = np.empty(0)
    for _ in range(MAX_DRAWS):
        fig.draw_without_rendering()
        places = np.array([ax.get_position().bounds for ax in fig.axes])
        if before.shape == places.shape and np.allclose(before, places, atol=1e-4):
            break
        before = places


def label(ax: Axes, *, title: str | None = None, x: str | None = None, y: str | None = None) -> None:
    """Write the title and the names of the axes, and set all text of the Axes in the sizes of the package."""
    if title is not None:
        ax.set_title(title, fontsize="medium")
    if x is not None:
        ax.set_xlabel(x, fontsize=SMALL)
    if y is not None:
        ax.set_ylabel(y, fontsize=SMALL)
    ax.tick_params(labelsize=TINY)


def color_bar(ax: Axes, mapped: Any, name: str | None = None) -> None:
    """Draw a colour bar beside Axes and as high as they are; it lies within them, so that it stays with them in any grid."""
    bar = ax.figure.colorbar(mapped, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
    bar.ax.tick_params(labelsize=TINY)
    if name is not None:
        bar.set_label(name, fontsize=SMALL)


def ink_on(mapped: Any, value: float) -> str:
    """Return black or white, whichever is legible on the colour that a value is mapped to."""
    red, green, blue, _ = mapped.cmap(mapped.norm(value))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"


def plain(ax: Axes) -> None:
    """Leave out the upper and right edge."""
    ax.spines[["top", "right"]].set_visible(False)


def size_of(ax: Axes) -> tuple[float, float]:
    """Return the width and height of Axes in inches."""
    fig = ax.get_figure(root=True)
    box = ax.get_window_extent()
    return box.width / fig.dpi, box.height / fig.dpi  # type: ignore[union-attr]


def points(size: str = TINY) -> float:
    """Return a relative size of text in points."""
    return FontProperties(size=size).get_size_in_points()


def text_width(names: Iterable[Any], size: str | float = TINY) -> float:
    """Return the width of the longest of several texts in inches."""
    pt = FontProperties(size=size).get_size_in_points()
    return max((TextPath((0, 0), str(name), size=pt).get_extents().width for name in names), default=0) / 72


def fitting_size(n: int, inches: float, largest: float) -> float:
    """Return the size in points, not above `largest`, at which `n` lines of text fit into a length."""
    return min(largest, 72 * inches / max(n, 1) / 1.15)


def thin_ticks(ax: Axes) -> None:
    """Write the names of categories smaller where they overlap, and leave some out where that is not enough."""
    for axis, side in ((ax.xaxis, 0), (ax.yaxis, 1)):
        if not isinstance(axis.get_major_locator(), FixedLocator):
            continue
        names = [tick for tick in axis.get_ticklabels() if tick.get_text()]
        if len(names) < 2:
            continue
        boxes = [name.get_window_extent() for name in names]
        extent = np.array([(box.width, box.height)[side] for box in boxes]).max()
        pitch = np.abs(np.diff([((box.x0 + box.x1), (box.y0 + box.y1))[side] / 2 for box in boxes])).min()
        if extent <= pitch:
            continue
        size = float(names[0].get_fontsize())
        smaller = max(size * pitch / extent, min(size, SMALLEST))
        step = int(np.ceil(extent * smaller / size / max(pitch, 1e-3) - 1e-6))
        for i, name in enumerate(names):
            name.set_fontsize(smaller)
            name.set_visible(i % step == 0)


def keep_title_inside(ax: Axes) -> None:
    """Move the title of a panel that has much beside it, so that the figure does not cut it; make it smaller if it is wider."""
    edge = ax.get_figure(root=True).bbox.width  # type: ignore[union-attr]
    width = ax.title.get_window_extent().width
    if width > 0.98 * edge:
        ax.title.set_fontsize(float(ax.title.get_fontsize()) * 0.98 * edge / width)
    box = ax.title.get_window_extent()
    outside = max(box.x1 - 0.99 * edge, 0.0) + min(box.x0 - 0.01 * edge, 0.0)
    if outside:
        ax.title.set_x(ax.title.get_position()[0] - outside / ax.bbox.width)


# ----- legends outside


def legend_columns(n: int, height: float) -> int:
    """Return how many columns a legend of `n` entries has beside a panel of a height in inches."""
    return math.ceil(n * 1.5 * points() / 72 / height)


def legend_width(names: Sequence[Any], height: float) -> float:
    """Return the width in inches of a legend beside a panel."""
    return legend_columns(len(names), height) * (text_width(names) + 0.28)


def columns_below(names: Sequence[Any], width: float) -> int:
    """Return how many columns a legend has below a panel of a width in inches."""
    return max(1, int(width / (text_width(names) + 0.28)))


def legend_beside(ax: Axes, height: float, *, below: float | None = None) -> None:
    """Draw the legend of categories to the right of the panel, or below it.

    Parameters
    ----------
    ax
        Has the categories.
    height
        Height of the panel in inches.
    below
        Width in inches that the legend may take below the panel; None puts it to the right.
    """
    handles, names = ax.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.2}
    if below is not None:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 2.4}
    if names:
        n_cols = legend_columns(len(names), height) if below is None else columns_below(names, below)
        ax.legend(
            handles,
            names,
            ncols=n_cols,
            fontsize=TINY,
            frameon=False,
            labelspacing=0.2,
            handletextpad=0.3,
            columnspacing=0.6,
            **place,
        )


def legend_of(ax: Axes, colors: Mapping[Any, str], height: float) -> None:
    """Draw the legend of categories to the right of the panel, whose height is given in inches."""
    for name, color in colors.items():
        ax.scatter([], [], color=color, label=str(name))
    legend_beside(ax, height)


def legend_below(ax: Axes, n_cols: int = 2) -> None:
    """Draw the legend of curves below the panel."""
    ax.legend(
        fontsize=TINY,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        borderaxespad=4.2,  # what ticks and the name of the axis take, in heights of a letter
        ncols=n_cols,
        handlelength=2.8,
        columnspacing=1.0,
        labelspacing=0.35,
    )


# ----- texts on the data


def spread_texts(ax: Axes, n_steps: int = 50) -> None:
    """Move names that stand on the data apart where they overlap."""
    texts = [text for text in ax.texts if text.get_gid() == ON_DATA]
    if len(texts) < 2:
        return
    boxes = np.array([text.get_window_extent().bounds for text in texts])
    centers, sizes = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] * 1.05
    reach = (sizes[:, None] + sizes[None]) / 2
    for _ in range(n_steps):
        gap = centers[:, None] - centers[None]
        overlap = reach - np.abs(gap)
        hit = (overlap > 0).all(axis=2) & ~np.eye(len(texts), dtype=bool)
        if not hit.any():
            break
        # along the axis on which the two are nearest to being apart, each by half
        axis = overlap.argmin(axis=2)
        side = np.where(np.take_along_axis(gap, axis[..., None], axis=2)[..., 0] >= 0, 1.0, -1.0)
        side[np.tril_indices(len(texts), -1)] = -side.T[np.tril_indices(len(texts), -1)]
        step = np.where(hit, overlap.min(axis=2), 0.0) * side / 2
        for dimension in (0, 1):
            centers[:, dimension] += np.where(axis == dimension, step, 0.0).sum(axis=1)
    for text, position in zip(texts, ax.transData.inverted().transform(centers), strict=True):
        text.set_position(position)


# ----- clusters and labels


def matched(labels: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """Count cells by label and cluster, both ordered so that the diagonal is heavy.

    Labels and clusters are paired one to one so that as many cells as possible lie in pairs (Hungarian algorithm). Pairs come
    first, from the largest to the smallest, then what has no partner.

    Parameters
    ----------
    labels, clusters
        Categories of each cell; cells without either are left out.

    Returns
    -------
    Labels × clusters.
    """
    table = pd.crosstab(labels, clusters)
    if not table.size:
        msg = f"No cell has a value in both {labels.name!r} and {clusters.name!r}. Pass another `labels_key` or `key`."
        raise ValueError(msg)
    rows, cols = linear_sum_assignment(table.to_numpy(), maximize=True)
    order = np.argsort(-table.to_numpy()[rows, cols], kind="stable")
    rows, cols = rows[order], cols[order]
    counts = table.to_numpy()
    lone_rows = np.setdiff1d(np.arange(len(table)), rows)
    lone_cols = np.setdiff1d(np.arange(table.shape[1]), cols)
    # What has no partner follows in the order of the pairs that it mostly goes with.
    lone_rows = lone_rows[np.argsort(counts[np.ix_(lone_rows, cols)].argmax(axis=1), kind="stable")]
    lone_cols = lone_cols[np.argsort(counts[np.ix_(rows, lone_cols)].argmax(axis=0), kind="stable")]
    return table.iloc[np.concatenate([rows, lone_rows]), np.concatenate([cols, lone_cols])]
