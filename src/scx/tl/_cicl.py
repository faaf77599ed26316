from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def cicl(
    adata: AnnData,
    n_clusters: int | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by cluster-aware iterative contrastive learning :cite:p:`Jiang2023`.

    A Transformer encoder sees two views of every cell, and learns to tell which views belong to one cell (NT-Xent loss,
    :func:`scx.model._core.losses.nt_xent`) and, at a small weight, to one cluster of the embedding as it stands
    (:func:`scx.model._core.losses.cluster_aware`). Clusters are found anew as the embedding changes; KMeans for as many of
    them as `n_clusters`, or 20 where it is None. The embedding is then clustered.

    Parameters
    ----------
    {data}
    {options}

    Returns
    -------
    {returns}

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.cicl(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_cicl")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["cicl", "bulk_labels"])
    """
    return fit_and_annotate(METHODS["cicl"], adata, n_clusters, options)
