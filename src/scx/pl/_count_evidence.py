from collections.abc import Sequence

from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scx import metrics
from scx._clustering.evidence import N_GENES
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_clusterings
from scx.pl._kit.colors import COLORS
from scx.pl._kit.legends import legend_below
from scx.pl._kit.panels import despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import TICK_TEXT, set_labels, text_width

PANEL_WIDTH = 1.9
"""Width of one of both panels in inches."""


@document
@typed
@plot
def count_evidence(
    adata: AnnData,
    keys: str | Sequence[str],
    *,
    layer: str | None = None,
    n_top_genes: int = N_GENES,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    """Draw which of several clusterings has the best evidence, without reference labels.

    One row per clustering, the best at the top. The left panel shows its score, which is the mean
    agreement with all clusterings weighted by the rank of their fit, and its mean agreement with
    the others; the right panel shows its fit, the deviance of the counts explained. See
    :func:`scx.metrics.count_evidence`.

    Parameters
    ----------
    adata
        Cells × genes, with clusterings.
    keys
        Several columns of ``obs`` with clusters; or the `key_added` of :func:`scx.tl.ensemble`,
        whose clusterings are drawn as it scored them.
    layer, n_top_genes
        As in :func:`scx.metrics.count_evidence`; not used for an ensemble.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If a key is unknown, a cell has no cluster, or the counts are not raw counts.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.ensemble(adata, n_clusters=8, members={"pca": 3})
    >>> scx.pl.count_evidence(adata, "ensemble")
    """
    if isinstance(keys, str):
        table = read_clusterings(adata, keys)
    else:
        table = metrics.count_evidence(adata, keys, layer=layer, n_top_genes=n_top_genes)
    table = table.sort_values("score", ascending=False, kind="stable")
    rows = range(len(table))
    size = (text_width(table.index) + 2 * PANEL_WIDTH + 0.4, 1.1 + 0.19 * max(len(table), 3))
    fig, axes = make_panels(ax, 1, 2, size=size)
    left, right = axes[0]
    for column, marker, label in (("agreement", "D", "agreement with the others"), ("score", "o", "score")):
        face = COLORS[0] if column == "score" else "white"
        left.scatter(
            table[column], rows, marker=marker, s=22, facecolor=face, edgecolor=COLORS[0], label=label, zorder=3
        )
    right.scatter(table["deviance_explained"], rows, marker="s", s=22, color=COLORS[1], zorder=3)
    for panel in (left, right):
        panel.set_ylim(len(table) - 0.5, -0.5)
        panel.set_yticks(rows, table.index if panel is left else [""] * len(table), fontsize=TICK_TEXT)
        panel.grid(axis="y", color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        despine(panel)
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.margins(x=0.12)
    set_labels(left, title="agreement", x="mean adjusted Rand index")
    set_labels(right, title="fit to the counts", x="deviance explained")
    legend_below(left)
    return finish(fig, [left, right], show, return_fig)
