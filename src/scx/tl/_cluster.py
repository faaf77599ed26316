import numpy as np
from anndata import AnnData

from scx._types import typed
from scx._workflow.walk import cluster_and_annotate


@typed
def cluster(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    *,
    use_rep: str,
    method: str = "kmeans",
    resolution: float | None = None,
    key_added: str = "cluster",
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Cluster cells in any embedding; the number of clusters is given or chosen.

    Parameters
    ----------
    adata
        Cells × genes, with an embedding in ``obsm``.
    n_clusters
        Number of clusters k, or the least and the largest number to choose from, such as
        ``(4, 20)``; None for any. k is chosen on the embedding, without labels: KMeans clusters
        random halves of at most 2,000 cells for k = 2, 3, … The score of k is stability times
        separation. Stability is how well the clusters of one half match those of the other (Jaccard
        index); separation is how far apart they lie (silhouette); both are averaged over clusters.
        The largest k whose score is within 5 % of the best is chosen. Compare :cite:t:`Yu2022`.
        With ``method="leiden"``, None takes as many clusters as Leiden finds at `resolution`.
    use_rep
        Embedding in ``obsm``, such as ``"X_contrastive"``, ``"X_pca"`` or ``"X_scVI"``, shape
        (n_cells, n_dims).
    method
        The algorithm. Most are fitted on a random sample if there are more cells than stated here.

        ``"kmeans"``
            KMeans, the best of ten starts. Above 100,000 cells, the starts run on a sample of that
            size, and the best one continues with all cells.
        ``"gmm"``
            Mixture of Gaussians with diagonal covariances, fitted on at most 50,000 cells.
        ``"ward"``
            Agglomerative clustering with Ward's linkage, on at most 5,000 cells. Each of the other
            cells is assigned by a vote of its 15 nearest neighbours among them.
        ``"spectral"``
            Spectral clustering of the graph of 15 nearest neighbours, on at most 10,000 cells. The
            others are assigned as for ``"ward"``.
        ``"leiden"``
            Leiden :cite:p:`Traag2019` on the same graph, on at most 50,000 cells. The others are
            assigned as for ``"ward"``. With `n_clusters`, the resolution that gives k clusters is
            searched; if none does, the number nearest to k is taken.
    resolution
        Resolution of Leiden, for ``method="leiden"`` without `n_clusters`; None for 1. Higher
        values give more clusters.
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
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Probability in [0, 1] of the cell's cluster :math:`l_i`, from Student-t distributions around
        the means of all clusters:
        :math:`(1 + d_{i l_i}^2 / s^2)^{-2} / \sum_c (1 + d_{ic}^2 / s^2)^{-2}`. Here :math:`d_{ic}`
        is the distance of the cell to the mean of cluster c, and s is half the root mean square
        distance of the cells from the overall mean. All algorithms use this formula.
    ``adata.uns[key_added]`` : dict
        ``params``, ``cluster`` (the algorithm), ``n_cells_fitted`` (number of cells it was fitted
        on), ``fields`` (what was written), ``scx_version``, and ``n_clusters``: the number
        ``chosen``, which is the number found; the number ``asked`` for, if any; the ``reason``; the
        ``resolution`` of Leiden; and if k was chosen, the curves ``stability``, ``separation``,
        ``score`` over the numbers ``tried``.

    Raises
    ------
    ValueError, TypeError
        If an argument or the embedding cannot be used. The message says what to do. `adata` is
        unchanged.

    Warns
    -----
    UserWarning
        If the number of clusters differs from `n_clusters`, or if the clusters separate nothing,
        for example because all cells have the same embedding; then every confidence is that of
        chance, 1 / k.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.tl.cluster(adata, use_rep="X_pca")
    >>> adata.uns["cluster"]["n_clusters"]["reason"]
    """
    return cluster_and_annotate(
        adata,
        n_clusters,
        use_rep=use_rep,
        method=method,
        resolution=resolution,
        key_added=key_added,
        rng=rng,
        copy=copy,
    )
