import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import (
    COLUMN,
    SMALL,
    TINY,
    Drawn,
    finish,
    label,
    make_panels,
    match_colors,
    matched,
    plot,
    points,
    read_categories,
    read_colors,
    text_width,
)

BAR = 0.05
"""Width of the bars, of 1 for the whole."""
GAP = 0.15
"""Part of the height that is left between blocks, all gaps together."""


@document
@typed
@plot
def flow(
    adata: AnnData,
    labels_key: str,
    key: str,
    *,
    min_cells: int = 1,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Drawn:
    """Draw how reference labels flow into clusters: an alluvial diagram of what :func:`scx.pl.confusion` shows.

    Labels stand on the left, clusters on the right, each as high as it has cells; a stream is as wide as there are cells in both,
    and has the colour of its label.

    Parameters
    ----------
    adata
        Cells × genes, with labels and clusters in ``obs``.
    labels_key
        Column of ``obs`` with reference labels, or other clusters.
    key
        Column of ``obs`` with clusters, the `key_added` of the method. Cells without a label or cluster are left out.
    min_cells
        Streams of fewer cells are not drawn.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the labels or the clusters are not there.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.flow(adata, "bulk_labels", "contrastive")
    """
    _checks.check_positive_int("min_cells", min_cells, minimum=0)
    labels, clusters = read_categories(adata, labels_key), read_categories(adata, key, what="key")
    table = matched(labels, clusters)
    cells = table.to_numpy()
    match_colors(adata, [labels_key, key])
    left_colors, right_colors = read_colors(adata, labels_key), read_colors(adata, key)
    most = max(cells.shape)
    names = [f"{name} ({n:,})" for name, n in zip(table.index, cells.sum(axis=1), strict=True)]
    found = [f"{name} ({n:,})" for name, n in zip(table.columns, cells.sum(axis=0), strict=True)]
    height = max(2.6, 0.5 + most * 1.25 * points() / 72)
    width = max(COLUMN, 1.6 + text_width(names) + text_width(found))
    fig, axes = make_panels(ax, size=(width, height))
    panel = axes[0, 0]
    tops, bottoms = _blocks(cells.sum(axis=1)), _blocks(cells.sum(axis=0))
    scale = (1 - GAP) / cells.sum()
    _draw_bars(panel, 0.0, tops, cells.sum(axis=1) * scale, [left_colors[name] for name in table.index])
    _draw_bars(panel, 1.0 - BAR, bottoms, cells.sum(axis=0) * scale, [right_colors[name] for name in table.columns])
    left_at, right_at = tops.copy(), np.empty_like(cells, dtype=float)
    for col in range(cells.shape[1]):  # streams arrive in the order of the labels
        right_at[:, col] = bottoms[col] + np.concatenate([[0], np.cumsum(cells[:-1, col])]) * scale
    for row, name in enumerate(table.index):
        for col in range(cells.shape[1]):
            thick = cells[row, col] * scale
            if cells[row, col] >= max(min_cells, 1):
                stream = _stream(left_at[row], right_at[row, col], thick)
                panel.add_patch(PathPatch(stream, facecolor=left_colors[name], alpha=0.6, linewidth=0))
            left_at[row] += thick
    line = 1.2 * points() / 72 / (height - 0.5)
    _draw_names(panel, names, tops + cells.sum(axis=1) * scale / 2, line, -0.02, "right")
    _draw_names(panel, found, bottoms + cells.sum(axis=0) * scale / 2, line, 1.02, "left")
    panel.set_xlim(0, 1)
    panel.set_ylim(1, 0)
    panel.set_axis_off()
    label(panel, title=f"{cells.sum():,} cells")
    for x, side, text in ((-0.02, "right", labels_key), (1.02, "left", key)):
        panel.text(x, 1.02, text, transform=panel.transAxes, ha=side, va="bottom", fontsize=SMALL)
    return finish(fig, [panel], show, return_fig)


def _blocks(sizes: NDArray) -> NDArray[np.float64]:
    """Return where each block begins, from 0 at the top to 1 at the bottom."""
    scale, gap = (1 - GAP) / sizes.sum(), GAP / max(len(sizes) - 1, 1)
    return np.concatenate([[0], np.cumsum(sizes[:-1])]) * scale + gap * np.arange(len(sizes))


def _stream(left: float, right: float, thick: float) -> Path:
    """Return the outline of a stream between two heights."""
    start, end, middle = BAR, 1 - BAR, 0.5
    points = [
        (start, left),
        (middle, left),
        (middle, right),
        (end, right),
        (end, right + thick),
        (middle, right + thick),
        (middle, left + thick),
        (start, left + thick),
        (start, left),
    ]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return Path(points, codes)


def _draw_bars(ax: Axes, x: float, starts: NDArray, heights: NDArray, colors: list[str]) -> None:
    for start, height, color in zip(starts, heights, colors, strict=True):
        ax.add_patch(Rectangle((x, start), BAR, height, facecolor=color, edgecolor="black", linewidth=0.4))


def _draw_names(ax: Axes, names: list[str], centers: NDArray, line: float, x: float, side: str) -> None:
    """Write names beside their blocks, moved apart where blocks are thinner than a line of text, with a stroke to the block."""
    edge = 0.0 if side == "right" else 1.0
    places = spread_out(centers, line)
    strokes = np.abs(places - centers).max() > line / 4
    out = x + (0.03 if side == "left" else -0.03) * strokes
    for name, center, y in zip(names, centers, places, strict=True):
        if strokes:
            ax.plot([edge, out], [center, y], color="0.4", linewidth=0.5, clip_on=False)
        ax.text(out, y, name, ha=side, va="center", fontsize=TINY)


def spread_out(centers: NDArray, distance: float) -> NDArray[np.float64]:
    """Return increasing positions as near to `centers` as possible that are at least a distance apart, in [0, 1] if they fit.

    Least squares under that condition is isotonic regression of what is left once the distances are taken off.
    """
    from sklearn.isotonic import isotonic_regression

    steps = distance * np.arange(len(centers))
    room = max(1 - steps[-1], 0.0) if len(steps) else 0.0
    return np.clip(isotonic_regression(centers - steps), 0, room) + steps
