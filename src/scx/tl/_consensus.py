from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from scx._types import typed
from scx._workflow.walk import agree_and_annotate


@typed
def consensus(
    adata: AnnData,
    keys: Sequence[str],
    n_clusters: int | None = None,
    *,
    weights: Sequence[float] | None = None,
    key_added: str = "consensus",
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    """Combine clusterings of different seeds or methods into the one that they agree on best.

    The similarity of two cells is the share of clusterings that put them into the same cluster
    (co-association). KMeans clusters the cells by this similarity. Then the clusterings vote on
    each cell until no cell changes its cluster. The matrix of all pairs of cells is never computed,
    so the cost grows linearly with the number of cells.

    Parameters
    ----------
    adata
        Cells × genes, with clusters in ``obs``.
    keys
        Two or more columns of ``obs`` with clusters. Their numbers of clusters may differ.
    n_clusters
        Number of clusters; None for the median over the clusterings. The result has fewer if the
        votes leave a cluster without cells.
    weights
        Positive weight of each of `keys`; None for equal weights. A weight of 2 counts as much as
        two such clusterings. :func:`scx.metrics.count_evidence` scores clusterings without labels.
    key_added
        Name under which results are written. Results of an earlier call under it are replaced.
    rng
        Seed, or generator to draw one from. The same seed gives the same result on the same
        machine.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields:

    ``adata.obs[key_added]`` : categorical
        Cluster of each cell, ``"0"`` being the largest.
    ``adata.obs[f"{key_added}_agreement"]`` : float32
        Agreement of the clusterings on the cell, in [0, 1]: of the cells that a clustering puts
        into the same cluster as this cell, the share that has the same consensus cluster; mean over
        clusterings, by their weights.
    ``adata.uns[key_added]`` : dict
        ``params``, ``n_clusters`` (the number ``chosen``, which is the number found; the number
        ``asked`` for, if any; the ``reason``), ``agreement`` (mean over cells, for each of `keys`),
        ``fields`` (what was written), ``scx_version``.

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be used, for example because a key is unknown or some cells have no
        cluster in it. The message says what to do. `adata` is unchanged.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> for seed in range(3):
    ...     scx.tl.contrastive(adata, 8, rng=seed, key_added=f"run{seed}")
    >>> scx.tl.consensus(adata, ["run0", "run1", "run2"])
    """
    return agree_and_annotate(adata, keys, n_clusters, weights=weights, key_added=key_added, rng=rng, copy=copy)
