from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def infovae(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by an information-maximising autoencoder :cite:p:`Pan2023`.

    The autoencoder models counts by a zero-inflated negative binomial distribution. A plain
    variational autoencoder pulls the posterior of each single cell towards the prior. This one
    pulls the distribution of all embedded cells together towards the prior, in addition or instead,
    so that the embedding stays informative. In a second phase, cells move towards the centres of
    `n_clusters` clusters; if `n_clusters` is None, there is no second phase. The embedding of a
    cell is the mean of its posterior. After training, the embedding is clustered.

    Parameters
    ----------
    {parameters}

    {returns}

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.infovae(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_infovae")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["infovae", "bulk_labels"])
    """
    return fit_and_annotate(METHODS["infovae"], adata, n_clusters, options)
