from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def contrastive(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by contrastive learning :cite:p:`Ciortan2021`.

    An encoder sees two views of every cell, each with most genes masked at random. It learns which
    views belong together (the NT-Xent loss of :cite:p:`Chen2020`, eq. 1). In ``recipe="paper"``
    both views show the cell itself; in ``recipe="default"`` the second view shows one of its
    nearest neighbours. After training, the embedding is clustered.

    Parameters
    ----------
    {parameters}

    {returns}

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_contrastive")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["contrastive", "bulk_labels"])
    """
    return fit_and_annotate(METHODS["contrastive"], adata, n_clusters, options)
