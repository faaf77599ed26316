import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_clusters, read_labels
from scx.pl._kit.checks import check_cmap
from scx.pl._kit.colors import SEQUENTIAL, text_color_on
from scx.pl._kit.legends import color_bar
from scx.pl._kit.matching import matched_counts
from scx.pl._kit.panels import COLUMN_WIDTH, make_panels, settle, size_of
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import fitting_points, font_points, set_labels, text_width

MAX_WRITTEN = 200
"""Largest number of fields into which numbers of cells are written by default."""


@document
@typed
@plot
def confusion(
    adata: AnnData,
    labels_key: str,
    key: str,
    *,
    counts: bool | None = None,
    cmap: str | Colormap = SEQUENTIAL,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    """Draw which clusters the cells of each reference label are in.

    Rows are labels and sum to 1; columns are clusters. Labels and clusters are paired one to one so
    that as many cells as possible lie in pairs. Pairs form the diagonal, from the largest to the
    smallest; labels and clusters without a partner follow. A row with a single filled field is a
    label that was found as one group; a column with several filled fields is a cluster that does
    not separate these labels. :func:`scx.pl.flow` shows the same counts as streams.

    Parameters
    ----------
    adata
        Cells × genes, with labels and clusters in ``obs``.
    labels_key
        Column of ``obs`` with reference labels.
    key
        Column of ``obs`` with clusters, the `key_added` of the method. Cells without a label or
        cluster are not counted.
    counts
        Write the number of cells into the fields; None does so for at most 200 fields.
    cmap
        Colour map.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the labels or the clusters do not exist, or `cmap` is unknown.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.confusion(adata, "bulk_labels", "contrastive")
    """
    check_cmap("cmap", cmap)
    table = matched_counts(read_labels(adata, labels_key), read_clusters(adata, key))
    cells = table.to_numpy()
    share = cells / cells.sum(axis=1, keepdims=True)
    n_rows, n_cols = cells.shape
    written = cells.size <= MAX_WRITTEN if counts is None else counts
    field = 0.24 if written else 0.12  # inches
    names = [f"{name} ({n:,})" for name, n in zip(table.index, cells.sum(axis=1), strict=True)]
    left = text_width(names) + 0.35
    size = (max(COLUMN_WIDTH, left + field * n_cols + 0.75), max(2.0, field * n_rows + 0.9))
    fig, axes = make_panels(ax, size=size)
    panel = axes[0, 0]
    image = panel.pcolormesh(share, cmap=cmap, vmin=0, vmax=1, edgecolors="white", linewidth=0.3)
    panel.invert_yaxis()
    width, height = (size[0] - left - 0.6, size[1] - 0.7) if ax is None else size_of(panel)
    is_long = text_width(table.columns) > 0.75 * width / n_cols
    x_points = fitting_points(n_cols, width, font_points()) if is_long else font_points()
    panel.set_xticks(np.arange(n_cols) + 0.5, [str(name) for name in table.columns], rotation=90 if is_long else 0)
    panel.set_yticks(np.arange(n_rows) + 0.5, names)
    set_labels(panel, title=f"{cells.sum():,} cells", x=f"cluster ({key})", y=f"{labels_key} (cells)")
    panel.tick_params(axis="x", labelsize=x_points, length=2)
    panel.tick_params(axis="y", labelsize=fitting_points(n_rows, height, font_points()), length=2)
    settle(fig)
    if min(size_of(panel)[0] / n_cols, size_of(panel)[1] / n_rows) < 0.08:
        image.set_linewidth(0)  # lines would cover fields as small as this
    if written:
        _write_counts(panel, cells, share, image)
    color_bar(panel, image, "share of the label's cells")
    return finish(fig, [panel], show, return_fig)


def _write_counts(ax: Axes, cells: NDArray[np.int64], share: NDArray[np.float64], image: ScalarMappable) -> None:
    """Write the numbers of cells into the fields of an image of their shares."""
    for (row, col), n in np.ndenumerate(cells):
        if n:
            size = font_points() * (0.85 if n < 1000 else 0.7)
            color = text_color_on(image, float(share[row, col]))
            ax.text(col + 0.5, row + 0.5, str(n), ha="center", va="center", fontsize=size, color=color)
