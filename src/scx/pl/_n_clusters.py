import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scx import _checks
from scx._clustering.n_clusters import TOLERANCE
from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx.pl._kit.figure import COLUMN, Drawn, finish, label, legend_below, make_panels, plain, plot, read_record, styles


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
) -> Drawn:
    """Draw how the number of clusters was chosen: stability, separation and their product over k.

    The vertical line is the choice: the largest k whose score lies in the band, within 5 % of the best.

    Parameters
    ----------
    adata
        Cells × genes, with clusters of scx whose number was chosen.
    key
        Name under which they were written, the `key_added`.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If there are no clusters under `key`, or their number was given; with the call that chooses it.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.tl.cluster(adata, use_rep="X_pca")
    >>> scx.pl.n_clusters(adata, "cluster")
    """
    number = read_record(adata, key, "n_clusters")["n_clusters"]
    if "tried" not in number:
        rep = Keys(key).embedding
        use_rep = rep if rep in adata.obsm else "X_pca"
        msg = (
            f"The number of clusters under `key={key!r}` was not chosen ({number.get('reason')}), so that there is no curve. Leave "
            f"`n_clusters` out, or have it chosen on the embedding: "
            f"`scx.tl.cluster(adata, use_rep={use_rep!r}, key_added={f'{key}_chosen'!r})`."
        )
        raise ValueError(msg)
    for name in ("tried", "score", "stability", "separation"):
        _checks.check_curve(f"uns[{key!r}]['n_clusters'][{name!r}]", number.get(name))
    tried, score = np.asarray(number["tried"]), np.asarray(number["score"])
    fig, axes = make_panels(ax, size=(COLUMN, 2.8))
    panel = axes[0, 0]
    panel.axhspan(
        (1 - TOLERANCE) * score.max(), score.max(), color="0.85", linewidth=0, label=f"best score − {TOLERANCE:.0%}"
    )
    names = {"score": "score = stability × separation", "stability": "stability", "separation": "separation"}
    for (name, text), style in zip(names.items(), styles(3), strict=True):
        panel.plot(tried, number[name], label=text, **{**style, "linewidth": 1.8 if name == "score" else 1.0})
    panel.axvline(number["chosen"], color="0.3", linestyle="--", linewidth=0.9, label=f"chosen: k = {number['chosen']}")
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_ylim(min(0, *number["separation"]), 1.02)
    plain(panel)
    label(panel, title=f"{key}: number of clusters", x="number of clusters k", y="stability, separation, score")
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)
