from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def infovae(
    adata: AnnData,
    n_clusters: int | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by a variational autoencoder that keeps mutual information :cite:p:`Pan2023`.

    The autoencoder explains counts by a zero-inflated negative binomial distribution. Beside, or in place of, each
    cell's own posterior, the distribution of all embedded cells together is held to the prior, so that the embedding stays
    informative. In a second phase, cells are drawn to the centres of `n_clusters` clusters; without a number there is no such
    phase. The posteriors' means are then clustered.

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
    >>> scx.tl.infovae(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_infovae")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["infovae", "bulk_labels"])
    """
    return fit_and_annotate(METHODS["infovae"], adata, n_clusters, options)
