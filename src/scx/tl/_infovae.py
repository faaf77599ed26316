from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scx._compat import MASK_VAR_DEFAULT
from scx._docs import document
from scx._types import typed
from scx._workflow.walk import fit_and_annotate


@document
@typed
def infovae(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    layer: str | None = None,
    mask_var: NDArray[np.bool_] | str | None = MASK_VAR_DEFAULT,
    n_top_genes: int | None = None,
    recipe: str = "default",
    n_latent: int | None = None,
    max_epochs: int | None = None,
    batch_size: int | None = None,
    cluster: str | None = None,
    resolution: float | None = None,
    n_runs: int = 1,
    key_added: str = "infovae",
    rng: int | np.random.Generator = 0,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    model_dir: str | Path | None = None,
    model_kwargs: dict[str, Any] | None = None,
    train_kwargs: dict[str, Any] | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed and cluster cells by a variational autoencoder that keeps mutual information :cite:p:`Pan2023`.

    The autoencoder explains counts by a zero-inflated negative binomial distribution. Beside, or in place of, each
    cell's own posterior, the distribution of all embedded cells together is held to the prior, so that the embedding stays
    informative. In a second phase, cells are drawn to the centres of `n_clusters` clusters; without a number there is no such
    phase. The posteriors' means are then clustered.

    Parameters
    ----------
    {parameters}

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
    arguments = dict(locals())
    from scx.model import InfoVAE

    return fit_and_annotate(InfoVAE, **arguments)
