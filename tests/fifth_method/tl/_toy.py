from typing import Unpack

from anndata import AnnData

from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def toy(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed and cluster cells by a linear autoencoder.

    Parameters
    ----------
    {parameters}

    {returns}

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.toy(adata, n_clusters=8)
    """
    return fit_and_annotate(METHODS["toy"], adata, n_clusters, options)
