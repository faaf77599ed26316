import numpy as np
from anndata import AnnData

from scx._types import typed
from scx._workflow.walk import cluster_and_annotate


@typed
def cluster(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    use_rep: str,
    method: str = "kmeans",
    resolution: float | None = None,
    key_added: str = "cluster",
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Cluster cells in any embedding, with the number of clusters given or chosen.

    Parameters
    ----------
    adata
        Cells × genes, with an embedding in ``obsm``.
    n_clusters
        Number of clusters k. With ``method="leiden"``, None takes as many as Leiden finds at `resolution`. Else None has it chosen
        on the embedding, without labels: random halves of at most 2,000 cells are
        clustered by KMeans for k = 2, 3, …; the score of k is how well clusters of one half are found again in the other
        (Jaccard index) times how far they lie apart (silhouette), both averaged over clusters. The largest k within 5 % of the
        best score is taken. Compare :cite:t:`Yu2022`.
    use_rep
        Embedding in ``obsm``, such as ``"X_contrastive"``, ``"X_pca"`` or ``"X_scVI"``, shape (n_cells, n_dims).
    method
        The algorithm. On more cells than stated, it is fitted on a random sample of so many:

        ``"kmeans"``
            The best of ten starts; above 100,000 cells the starts run on a sample, and the best goes on with all cells.
        ``"gmm"``
            Mixture of Gaussians with diagonal covariances; 50,000.
        ``"ward"``
            Agglomerative clustering with Ward's linkage; 5,000, the others by a vote of their 15 nearest neighbours.
        ``"spectral"``
            Spectral clustering of the graph of 15 nearest neighbours; 10,000, the others likewise.
        ``"leiden"``
            Leiden :cite:p:`Traag2019` on that graph; 50,000, the others likewise. With `n_clusters`, its resolution is searched for
            k clusters; where no resolution gives k, the nearest number.
    resolution
        Resolution of Leiden, for ``method="leiden"`` without `n_clusters`; None for 1. Higher values give more clusters.
    key_added
        Name under which results are written.
    rng
        Seed, or generator to draw one from. The same seed gives the same result on the same machine.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields:

    ``adata.obs[key_added]`` : categorical
        Cluster of each cell, ``"0"`` being the largest.
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Probability in [0, 1] of the cell's cluster :math:`l_i` under Student-t distributions around the means of all clusters,
        whatever the algorithm: :math:`(1 + d_{i l_i}^2 / s^2)^{-2} / \sum_c (1 + d_{ic}^2 / s^2)^{-2}`, with the distance
        :math:`d_{ic}` to the mean of cluster c, and half the root mean square distance from the overall mean, s.
    ``adata.uns[key_added]`` : dict
        ``params``, ``cluster``, ``n_cells_fitted`` (cells the algorithm was fitted on), ``fields`` (what was written), ``scx_version``, and ``n_clusters``: the
        number ``chosen``, which is the one found, the number ``asked`` for if there was one, the ``reason``, Leiden's ``resolution``, and the curves ``stability``, ``separation``, ``score`` over the numbers ``tried``.

    Raises
    ------
    ValueError, TypeError
        If an argument or the embedding cannot be used; the message says what to do, `adata` stays as it was.

    Warns
    -----
    UserWarning
        If there are not as many clusters as asked for, or they separate nothing, as where all cells have the same embedding: then the
        confidence is that of chance, 1 / k.

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
