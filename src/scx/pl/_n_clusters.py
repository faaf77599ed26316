from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scx._clustering import n_clusters as by_stability
from scx._clustering import separation_and_fit as by_fit
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_n_clusters
from scx.pl._kit.colors import line_styles
from scx.pl._kit.legends import legend_below
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import set_labels

LABELS = {
    "score": "score = stability × separation",
    "stability": "stability",
    "separation": "separation",
    "deviance_explained": "deviance explained",
}
"""Legend of each curve."""


@document
@typed
@plot
def n_clusters(
    adata: AnnData,
    key: str,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    """Draw how the number of clusters was chosen: the curves over k, and the choice.

    The vertical line is the choice. Where the score is stability times separation, it is the
    largest k with a score in the band, within 5 % of the best. :func:`scx.tl.ensemble` draws the
    separation, with a band of 12 %, and the deviance of the counts explained, see its ``reason``.

    Parameters
    ----------
    adata
        Cells × genes, with clusters of scx whose number was chosen.
    key
        Name under which the clusters were written, the `key_added`.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If there are no clusters under `key`, or their number was passed and not chosen; the message
        has the call that chooses it.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.tl.cluster(adata, use_rep="X_pca")
    >>> scx.pl.n_clusters(adata, "cluster")
    """
    found = read_n_clusters(adata, key)
    first, *_ = found.curves
    tolerance = by_stability.TOLERANCE if first == "score" else by_fit.TOLERANCE
    best = found.curves[first].max()
    fig, axes = make_panels(ax, size=(COLUMN_WIDTH, 2.8))
    panel = axes[0, 0]
    panel.axhspan(
        best - tolerance * abs(best), best, color="0.85", linewidth=0, label=f"best {first} − {tolerance:.0%}"
    )
    for (name, values), style in zip(found.curves.items(), line_styles(len(found.curves)), strict=True):
        width = 1.8 if name == first else 1.0
        panel.plot(found.tried, values, label=LABELS[name], **{**style, "linewidth": width})
    panel.axvline(found.chosen, color="0.3", linestyle="--", linewidth=0.9, label=f"chosen: k = {found.chosen}")
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_ylim(min(0, *found.curves["separation"]), 1.02)
    despine(panel)
    others = [LABELS[name] for name in found.curves if name != first]
    set_labels(panel, title=f"{key}: number of clusters", x="number of clusters k", y=", ".join([*others, first]))
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)
