from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scx._clustering.n_clusters import TOLERANCE
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_n_clusters
from scx.pl._kit.colors import line_styles
from scx.pl._kit.legends import legend_below
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import set_labels


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
    """Draw how the number of clusters was chosen: stability, separation and their product over k.

    The vertical line is the choice: the largest k with a score in the band, within 5 % of the best.

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
    curves = read_n_clusters(adata, key)
    best = curves.score.max()
    fig, axes = make_panels(ax, size=(COLUMN_WIDTH, 2.8))
    panel = axes[0, 0]
    panel.axhspan((1 - TOLERANCE) * best, best, color="0.85", linewidth=0, label=f"best score − {TOLERANCE:.0%}")
    for label, values, width, style in zip(
        ("score = stability × separation", "stability", "separation"),
        (curves.score, curves.stability, curves.separation),
        (1.8, 1.0, 1.0),
        line_styles(3),
        strict=True,
    ):
        panel.plot(curves.tried, values, label=label, **{**style, "linewidth": width})
    panel.axvline(curves.chosen, color="0.3", linestyle="--", linewidth=0.9, label=f"chosen: k = {curves.chosen}")
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_ylim(min(0, *curves.separation), 1.02)
    despine(panel)
    set_labels(panel, title=f"{key}: number of clusters", x="number of clusters k", y="stability, separation, score")
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)
