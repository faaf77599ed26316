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
def cicl(
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
    key_added: str = "cicl",
    rng: int | np.random.Generator = 0,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    model_dir: str | Path | None = None,
    model_kwargs: dict[str, Any] | None = None,
    train_kwargs: dict[str, Any] | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed and cluster cells by cluster-aware iterative contrastive learning :cite:p:`Jiang2023`.

    A Transformer encoder sees two views of every cell, and learns to tell which views belong to one cell (NT-Xent loss,
    :func:`scx.model._core.losses.nt_xent`) and, at a small weight, to one cluster of the embedding as it stands
    (:func:`scx.model._core.losses.cluster_aware`). Clusters are found anew as the embedding changes; KMeans for as many of
    them as `n_clusters`, or 20 where it is None. The embedding is then clustered.

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
    >>> scx.tl.cicl(adata, n_clusters=8)
    >>> sc.pp.neighbors(adata, use_rep="X_cicl")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["cicl", "bulk_labels"])
    """
    arguments = dict(locals())
    from scx.model import CICL

    return fit_and_annotate(CICL, **arguments)
