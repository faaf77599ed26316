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
    key_added: str = "consensus",
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    """Find one clustering that several, of different seeds or methods, agree on best.

    Two cells are as near as there are clusterings that put them together (co-association), and KMeans clusters the cells on
    that account; then the clusterings vote on each cell until none moves. The matrix of all pairs is never formed, so that
    the cost grows linearly with cells.

    Parameters
    ----------
    adata
        Cells × genes, with clusters in ``obs``.
    keys
        Two or more columns of ``obs`` with clusters; their numbers of clusters may differ.
    n_clusters
        Number of clusters; None takes the median of the clusterings'. There are fewer if votes leave one without cells.
    key_added
        Name under which results are written.
    rng
        Seed, or generator to draw one from.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields:

    ``adata.obs[key_added]`` : categorical
        Cluster of each cell, ``"0"`` being the largest.
    ``adata.obs[f"{key_added}_agreement"]`` : float32
        Of the cells that a clustering puts together with a cell, the share that is in its consensus cluster too; mean over
        clusterings, in [0, 1].
    ``adata.uns[key_added]`` : dict
        ``params``, ``n_clusters`` (``chosen``, the number found, ``asked`` if one was asked for, and ``reason``), ``agreement`` (mean over cells, for each of `keys`), ``fields`` (what was written), ``scx_version``.

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or leaves cells without a cluster; `adata` stays as it was.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> for seed in range(3):
    ...     scx.tl.contrastive(adata, 8, rng=seed, key_added=f"run{seed}")
    >>> scx.tl.consensus(adata, ["run0", "run1", "run2"])
    """
    return agree_and_annotate(adata, keys, n_clusters, key_added=key_added, rng=rng, copy=copy)
