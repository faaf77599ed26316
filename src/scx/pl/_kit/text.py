"""Text of plots: sizes, titles and names of axes, and what to do where it does not fit."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator

from scx.pl._kit.panels import figure_of

AXIS_TEXT = "small"
"""Size of the names of axes, relative to matplotlib's ``font.size``."""
TICK_TEXT = "x-small"
"""Size of ticks and legends."""
MIN_POINTS = 5.0
"""Smallest size of text in points."""
ON_DATA = "scx: on data"
"""Mark of texts that stand on the data; :func:`spread_texts` moves them apart."""


def set_labels(ax: Axes, *, title: str | None = None, x: str | None = None, y: str | None = None) -> None:
    """Write the title and the names of the axes, in the text sizes of the package."""
    if title is not None:
        ax.set_title(title, fontsize="medium")
    if x is not None:
        ax.set_xlabel(x, fontsize=AXIS_TEXT)
    if y is not None:
        ax.set_ylabel(y, fontsize=AXIS_TEXT)
    ax.tick_params(labelsize=TICK_TEXT)


def font_points(size: str = TICK_TEXT) -> float:
    """Return a relative size of text in points."""
    return FontProperties(size=size).get_size_in_points()


def text_width(texts: Iterable[object], size: str | float = TICK_TEXT) -> float:
    """Return the width of the longest of several texts in inches."""
    points = FontProperties(size=size).get_size_in_points()
    widths = (TextPath((0, 0), str(text), size=points).get_extents().width for text in texts)
    return max(widths, default=0) / 72


def fitting_points(n_lines: int, length: float, largest: float) -> float:
    """Return the text size, at most `largest` points, at which `n_lines` fit into a `length`."""
    return min(largest, 72 * length / max(n_lines, 1) / 1.15)


def fit_tick_labels(ax: Axes) -> None:
    """Shrink names of categories where they overlap; hide some of them where that is not enough."""
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
        smaller = max(size * pitch / extent, min(size, MIN_POINTS))
        step = int(np.ceil(extent * smaller / size / max(pitch, 1e-3) - 1e-6))
        for i, name in enumerate(names):
            name.set_fontsize(smaller)
            name.set_visible(i % step == 0)


def keep_title_inside(ax: Axes) -> None:
    """Shift a title that the figure would cut; shrink one that is wider than the figure."""
    edge = figure_of(ax).bbox.width
    width = ax.title.get_window_extent().width
    if width > 0.98 * edge:
        ax.title.set_fontsize(float(ax.title.get_fontsize()) * 0.98 * edge / width)
    box = ax.title.get_window_extent()
    outside = max(box.x1 - 0.99 * edge, 0.0) + min(box.x0 - 0.01 * edge, 0.0)
    if outside:
        ax.title.set_x(ax.title.get_position()[0] - outside / ax.bbox.width)


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
        # along the axis with the smaller overlap, each text by half of it
        axis = overlap.argmin(axis=2)
        side = np.where(np.take_along_axis(gap, axis[..., None], axis=2)[..., 0] >= 0, 1.0, -1.0)
        side[np.tril_indices(len(texts), -1)] = -side.T[np.tril_indices(len(texts), -1)]
        step = np.where(hit, overlap.min(axis=2), 0.0) * side / 2
        for dimension in (0, 1):
            centers[:, dimension] += np.where(axis == dimension, step, 0.0).sum(axis=1)
    for text, position in zip(texts, ax.transData.inverted().transform(centers), strict=True):
        text.set_position(position)
