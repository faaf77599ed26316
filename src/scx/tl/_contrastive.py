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
def contrastive(
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
    key_added: str = "contrastive",
    rng: int | np.random.Generator = 0,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    model_dir: str | Path | None = None,
    model_kwargs: dict[str, Any] | None = None,
    train_kwargs: dict[str, Any] | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed and cluster cells by contrastive learning :cite:p:`Ciortan2021`.

    An encoder sees two views of every cell, each with most genes masked at random, and learns to tell which views belong
    together (the NT-Xent loss of :cite:p:`Chen2020`, eq. 1). Its embedding is then clustered. The second view is one of the cell
    itself in ``recipe="paper"``, and of one of its nearest neighbours in ``recipe="default"``.

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
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_contrastive")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["contrastive", "bulk_labels"])
    """
    arguments = dict(locals())
    from scx.model import Contrastive

    return fit_and_annotate(Contrastive, **arguments)
