import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_batches, read_clusters
from scx.pl._kit.colors import COLORS, match_colors, read_colors
from scx.pl._kit.legends import legend_of_colors, legend_width
from scx.pl._kit.panels import despine, make_panels, size_of
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import fitting_points, font_points, set_labels, text_width

ALL = "all cells"
"""Name of the row of all cells."""
BARS_WIDTH, MIXING_WIDTH = 2.2, 1.2
"""Widths of the panels in inches."""


@document
@typed
@plot
def composition(
    adata: AnnData,
    key: str,
    batch_key: str,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    r"""Draw the batches that the cells of each cluster come from, and how mixed each cluster is.

    One row per cluster, and one for all cells. The left panel shows the share of each batch. The
    right panel shows the mixing of the cluster: the probability that two of its cells are from
    different batches, relative to two of all cells,
    :math:`(1 - \sum_b s_b^2) / (1 - \sum_b p_b^2)` for shares s in the cluster and p in all cells.
    It is 0 for cells of one batch, and 1 if the cluster is as mixed as all cells. A cluster of low
    mixing is a type that few batches have, or an effect of the batch.

    Parameters
    ----------
    adata
        Cells × genes, with clusters and batches in ``obs``. Only a palette is written to it.
    key
        Column of ``obs`` with clusters, the `key_added` of the method.
    batch_key
        Column of ``obs`` with the batch of each cell. Cells without a batch or cluster are not
        counted.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the clusters or the batches do not exist, or if no cell has both.

    Examples
    --------
    >>> import numpy as np, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> adata.obs["sample"] = np.where(np.arange(adata.n_obs) % 3 == 0, "one", "two")
    >>> scx.tl.contrastive(adata, n_clusters=8, batch_key="sample")
    >>> scx.pl.composition(adata, "contrastive", "sample")
    """
    batches = read_batches(adata, batch_key)
    cells = pd.crosstab(read_clusters(adata, key), batches)
    if not cells.size:
        msg = f"No cell has a value in both {key!r} and {batch_key!r}. Pass another `key` or `batch_key`."
        raise ValueError(msg)
    match_colors(adata, [batch_key])
    colors = read_colors(adata, batch_key)
    counts = np.vstack([cells.to_numpy(), cells.to_numpy().sum(axis=0)])
    share = counts / counts.sum(axis=1, keepdims=True)
    different = 1 - (share**2).sum(axis=1)  # two cells drawn with replacement
    mixing = different[:-1] / different[-1] if different[-1] else np.zeros(len(cells))
    names = [f"{name} ({n:,})" for name, n in zip([*cells.index, ALL], counts.sum(axis=1), strict=True)]
    height = max(1.8, 0.19 * len(names) + 0.8)
    beside = legend_width(list(cells.columns), height - 0.6)
    size = (text_width(names) + BARS_WIDTH + MIXING_WIDTH + beside + 0.5, height)
    fig, axes = make_panels(ax, 1, 2, size=size, width_ratios=[BARS_WIDTH, MIXING_WIDTH])
    left, right = axes[0]
    rows = np.arange(len(names), dtype=float)
    rows[-1] += 0.5
    starts = np.cumsum(share, axis=1) - share
    for batch, widths, lefts in zip(cells.columns, share.T, starts.T, strict=True):
        left.barh(rows, widths, 0.8, lefts, color=colors[batch], edgecolor="white", linewidth=0.3)
    right.scatter(mixing, rows[:-1], s=18, color=COLORS[0], zorder=3)
    right.axvline(1, color="0.5", linewidth=0.8, linestyle="--")
    points = fitting_points(len(names), size_of(left)[1] if ax is not None else height - 0.7, font_points())
    for panel in (left, right):
        panel.set_ylim(rows[-1] + 0.6, -0.6)
        panel.set_yticks(rows, names if panel is left else [""] * len(names), fontsize=points)
        panel.tick_params(axis="y", length=0)
        despine(panel)
    left.set_xlim(0, 1)
    right.set_xlim(-0.05, max(1.1, 1.1 * mixing.max()))
    right.grid(axis="y", color="0.9", linewidth=0.6)
    right.set_axisbelow(True)
    set_labels(left, title=f"{counts[-1].sum():,} cells", x="share of cells", y=f"cluster ({key})")
    set_labels(right, x="mixing")
    legend_of_colors(right, {name: colors[name] for name in cells.columns}, height - 0.6)
    return finish(fig, [left, right], show, return_fig)
