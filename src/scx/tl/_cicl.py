from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def cicl(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by cluster-aware iterative contrastive learning :cite:p:`Jiang2023`.

    A Transformer encoder sees two views of every cell. It learns which views belong to the same
    cell (NT-Xent loss, :func:`scx.model._core.losses.nt_xent`) and, with a small weight, which
    views belong to the same cluster (:func:`scx.model._core.losses.cluster_aware`). KMeans finds
    these clusters in the current embedding, again and again as the embedding changes. It looks for
    `n_clusters` of them, or for 20 if `n_clusters` is None. After training, the embedding is
    clustered.

    Parameters
    ----------
    {parameters}

    {returns}

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
