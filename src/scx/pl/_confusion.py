from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import (
    COLUMN,
    SEQUENTIAL,
    Drawn,
    check_cmap,
    color_bar,
    finish,
    fitting_size,
    ink_on,
    label,
    make_panels,
    matched,
    plot,
    points,
    read_categories,
    settle,
    size_of,
    text_width,
)

MAX_WRITTEN = 200
"""Up to so many fields, each has its number of cells written in it."""


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
) -> Drawn:
    """Draw which clusters the cells of each reference label are in.

    Rows are labels and sum to 1, columns are clusters. Labels and clusters are paired one to one so that as many cells as
    possible lie in pairs, which make the diagonal, from the largest on; what has no partner follows. Read by row, a label in one
    field was found as one group; by column, labels that share one were not told apart. :func:`scx.pl.flow` shows the same as
    streams.

    Parameters
    ----------
    adata
        Cells × genes, with labels and clusters in ``obs``.
    labels_key
        Column of ``obs`` with reference labels.
    key
        Column of ``obs`` with clusters, the `key_added` of the method. Cells without a label or cluster are left out.
    counts
        Write the number of cells into the fields; None does so if there are not more than 200.
    cmap
        Colour map.
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
    >>> scx.pl.confusion(adata, "bulk_labels", "contrastive")
    """
    check_cmap("cmap", cmap)
    table = matched(read_categories(adata, labels_key), read_categories(adata, key, what="key"))
    cells = table.to_numpy()
    share = cells / cells.sum(axis=1, keepdims=True)
    n_rows, n_cols = cells.shape
    written = cells.size <= MAX_WRITTEN if counts is None else counts
    field = 0.24 if written else 0.12
    names = [f"{name} ({n:,})" for name, n in zip(table.index, cells.sum(axis=1), strict=True)]
    left = text_width(names) + 0.35
    size = (max(COLUMN, left + field * n_cols + 0.75), max(2.0, field * n_rows + 0.9))
    fig, axes = make_panels(ax, size=size)
    panel = axes[0, 0]
    image = panel.pcolormesh(share, cmap=cmap, vmin=0, vmax=1, edgecolors="white", linewidth=0.3)
    panel.invert_yaxis()
    wide, high = (size[0] - left - 0.6, size[1] - 0.7) if ax is None else size_of(panel)
    long = text_width(table.columns) > 0.75 * wide / n_cols
    fits_x = fitting_size(n_cols, wide, points()) if long else points()
    panel.set_xticks(np.arange(n_cols) + 0.5, [str(name) for name in table.columns], rotation=90 if long else 0)
    panel.set_yticks(np.arange(n_rows) + 0.5, names)
    label(panel, title=f"{cells.sum():,} cells", x=f"cluster ({key})", y=f"{labels_key} (cells)")
    panel.tick_params(axis="x", labelsize=fits_x, length=2)
    panel.tick_params(axis="y", labelsize=fitting_size(n_rows, high, points()), length=2)
    settle(fig)
    if min(size_of(panel)[0] / n_cols, size_of(panel)[1] / n_rows) < 0.08:
        image.set_linewidth(0)  # lines between fields would take their place
    if written:
        _write_counts(panel, cells, share, image)
    color_bar(panel, image, "share of the label's cells")
    return finish(fig, [panel], show, return_fig)


def _write_counts(ax: Axes, cells: np.ndarray, share: np.ndarray, image: Any) -> None:
    """Write the numbers of cells into the fields of an image of their shares."""
    for (row, col), n in np.ndenumerate(cells):
        if n:
            size = points() * (0.85 if n < 1000 else 0.7)
            color = ink_on(image, float(share[row, col]))
            ax.text(col + 0.5, row + 0.5, str(n), ha="center", va="center", fontsize=size, color=color)
