import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_clusters, read_labels
from scx.pl._kit.colors import match_colors, read_colors
from scx.pl._kit.matching import matched_counts
from scx.pl._kit.panels import COLUMN_WIDTH, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import AXIS_TEXT, TICK_TEXT, font_points, set_labels, text_width

BAR = 0.05
"""Width of the bars; the plot has width 1."""
GAP = 0.15
"""Share of the height between blocks, all gaps together."""


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
) -> PlotResult:
    """Draw how reference labels flow into clusters: an alluvial diagram.

    Labels are blocks on the left, clusters are blocks on the right; the height of a block is its
    number of cells. The width of a stream is the number of cells that a label and a cluster share;
    it has the colour of the label. :func:`scx.pl.confusion` shows the same counts as a matrix.

    Parameters
    ----------
    adata
        Cells × genes, with labels and clusters in ``obs``.
    labels_key
        Column of ``obs`` with reference labels, or other clusters.
    key
        Column of ``obs`` with clusters, the `key_added` of the method. Cells without a label or
        cluster are not counted.
    min_cells
        Streams of fewer cells are not drawn.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the labels or the clusters do not exist, or `min_cells` is negative.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.flow(adata, "bulk_labels", "contrastive")
    """
    _checks.check_positive_int("min_cells", min_cells, minimum=0)
    table = matched_counts(read_labels(adata, labels_key), read_clusters(adata, key))
    cells = table.to_numpy()
    per_label, per_cluster = cells.sum(axis=1), cells.sum(axis=0)
    match_colors(adata, [labels_key, key])
    label_colors, cluster_colors = read_colors(adata, labels_key), read_colors(adata, key)
    label_names = [f"{name} ({n:,})" for name, n in zip(table.index, per_label, strict=True)]
    cluster_names = [f"{name} ({n:,})" for name, n in zip(table.columns, per_cluster, strict=True)]
    height = max(2.6, 0.5 + max(cells.shape) * 1.25 * font_points() / 72)
    width = max(COLUMN_WIDTH, 1.6 + text_width(label_names) + text_width(cluster_names))
    fig, axes = make_panels(ax, size=(width, height))
    panel = axes[0, 0]
    label_starts, cluster_starts = _blocks(per_label), _blocks(per_cluster)
    scale = (1 - GAP) / cells.sum()
    _draw_bars(panel, 0.0, label_starts, per_label * scale, [label_colors[name] for name in table.index])
    _draw_bars(panel, 1.0 - BAR, cluster_starts, per_cluster * scale, [cluster_colors[name] for name in table.columns])
    left, right = label_starts.copy(), np.empty_like(cells, dtype=float)
    for col in range(cells.shape[1]):  # streams arrive in the order of the labels
        right[:, col] = cluster_starts[col] + np.concatenate([[0], np.cumsum(cells[:-1, col])]) * scale
    for row, name in enumerate(table.index):
        for col in range(cells.shape[1]):
            thickness = cells[row, col] * scale
            if cells[row, col] >= max(min_cells, 1):
                stream = _stream(left[row], right[row, col], thickness)
                panel.add_patch(PathPatch(stream, facecolor=label_colors[name], alpha=0.6, linewidth=0))
            left[row] += thickness
    line_height = 1.2 * font_points() / 72 / (height - 0.5)
    _draw_names(panel, label_names, label_starts + per_label * scale / 2, line_height, -0.02, "right")
    _draw_names(panel, cluster_names, cluster_starts + per_cluster * scale / 2, line_height, 1.02, "left")
    panel.set_xlim(0, 1)
    panel.set_ylim(1, 0)
    panel.set_axis_off()
    set_labels(panel, title=f"{cells.sum():,} cells")
    for x, side, text in ((-0.02, "right", labels_key), (1.02, "left", key)):
        panel.text(x, 1.02, text, transform=panel.transAxes, ha=side, va="bottom", fontsize=AXIS_TEXT)
    return finish(fig, [panel], show, return_fig)


def _blocks(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return where each block begins, from 0 at the top to 1 at the bottom."""
    scale, gap = (1 - GAP) / sizes.sum(), GAP / max(len(sizes) - 1, 1)
    starts: NDArray[np.float64] = np.concatenate([[0], np.cumsum(sizes[:-1])]) * scale + gap * np.arange(len(sizes))
    return starts


def _stream(left: float, right: float, thickness: float) -> Path:
    """Return the outline of a stream between two heights."""
    start, end, middle = BAR, 1 - BAR, 0.5
    points = [
        (start, left),
        (middle, left),
        (middle, right),
        (end, right),
        (end, right + thickness),
        (middle, right + thickness),
        (middle, left + thickness),
        (start, left + thickness),
        (start, left),
    ]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return Path(points, codes)


def _draw_bars(
    ax: Axes, x: float, starts: NDArray[np.float64], heights: NDArray[np.float64], colors: list[str]
) -> None:
    """Draw the blocks of one side as bars."""
    for start, height, color in zip(starts, heights, colors, strict=True):
        ax.add_patch(Rectangle((x, start), BAR, height, facecolor=color, edgecolor="black", linewidth=0.4))


def _draw_names(
    ax: Axes, names: list[str], centers: NDArray[np.float64], line_height: float, x: float, side: str
) -> None:
    """Write names beside their blocks; if blocks are thin, move names apart and add strokes."""
    edge = 0.0 if side == "right" else 1.0
    places = spread_out(centers, line_height)
    strokes = bool(np.abs(places - centers).max() > line_height / 4)
    out = x + (0.03 if side == "left" else -0.03) * strokes
    for name, center, y in zip(names, centers, places, strict=True):
        if strokes:
            ax.plot([edge, out], [center, y], color="0.4", linewidth=0.5, clip_on=False)
        ax.text(out, y, name, ha=side, va="center", fontsize=TICK_TEXT)


def spread_out(centers: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Return increasing positions, close to `centers` and at least a `distance` apart.

    They lie in [0, 1] if there is room.
    The least-squares solution is the isotonic regression of ``centers - distance * i``, plus
    ``distance * i`` for position i.
    """
    from sklearn.isotonic import isotonic_regression

    steps = distance * np.arange(len(centers))
    room = max(1 - steps[-1], 0.0) if len(steps) else 0.0
    positions: NDArray[np.float64] = np.clip(isotonic_regression(centers - steps), 0, room) + steps
    return positions
