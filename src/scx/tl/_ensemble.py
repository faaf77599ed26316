from pathlib import Path

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scx._compat import MASK_VAR_DEFAULT
from scx._types import typed
from scx._workflow.ensemble import DEFAULT_MEMBERS, ensemble_and_annotate


@typed
def ensemble(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    *,
    members: dict[str, int] | None = None,
    layer: str | None = None,
    mask_var: NDArray[np.bool_] | str | None = MASK_VAR_DEFAULT,
    key_added: str = "ensemble",
    n_jobs: int | None = None,
    rng: int | np.random.Generator = 0,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    model_dir: str | Path | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster cells in many ways and keep the clustering with the best evidence, without labels.

    No embedding and no algorithm is best on all data. This function embeds the cells by several
    members and clusters each embedding by KMeans and by Leiden at the same number of clusters. The
    result is the clustering that agrees most with the others, where those that explain the counts
    well weigh more, see :func:`scx.metrics.count_evidence`.

    Parameters
    ----------
    adata
        Cells × genes, with raw counts in ``X`` or in `layer`.
    n_clusters
        Number of clusters k, or the least and the largest number to choose from, such as
        ``(4, 20)``; None for any. k is chosen on the joint embedding by separation and fit to
        the counts, see :doc:`/clusters`.
    members
        How many members there are of each kind; None for ``{"pca": 5, "contrastive": 1}``. Time
        grows with their number; training takes most of it.

        ``"pca"``
            Principal components of log-normalised counts, scaled to unit variance. The members are,
            in this order: 20 components of the 2,000 most variable genes, 50 components of the
            same, 20 components of 500 genes; then 10 to 50 components of 30 to 80 % of the 3,000
            most variable genes, all drawn at random.
        ``"contrastive"``, ``"infovae"``, ``"cicl"``, ``"semiaae"``
            The method of this name, with its defaults and without labels. Several are trained from
            different seeds. Each trained embedding is clustered as it is, and side by side with the
            first principal components.
    layer
        Layer with raw counts; None for ``X``.
    mask_var
        Genes to use: a column of ``var`` or one True or False per gene; None for all. The default
        is ``var["highly_variable"]`` if there is one, else all.
    key_added
        Name under which results are written. Results of an earlier run under it are replaced;
        fields that scx did not write are never overwritten or deleted.
    n_jobs
        Number of processes that share the members, as in joblib; None for one, −1 for one per core.
        The result is the same. A process takes some seconds to start and as much memory as a member
        needs.
    rng
        Seed, or generator to draw seeds from. The same seed gives the same result on the same
        machine. The global random state is left as it was.
    accelerator
        Kind of device to train on, as in :class:`lightning.pytorch.Trainer`.
    devices
        Which device to train on, as in :class:`lightning.pytorch.Trainer`.
    model_dir
        New folder to save the members in that :func:`scx.tl.map_query` needs to give new cells
        these clusters. As in the methods, with ``copy=True`` a failure to save is a warning.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields:

    ``adata.obs[key_added]`` : categorical
        Cluster of each cell, ``"0"`` being the largest.
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Probability of the cell's cluster in [0, 1] in the embedding that was chosen, see
        :func:`scx.tl.cluster`.
    ``adata.obs[f"{key_added}_agreement"]`` : float32
        Agreement of all clusterings on the cell, in [0, 1], weighted by their scores, see
        :func:`scx.tl.consensus`.
    ``adata.obsm[f"X_{key_added}"]`` : float32, cells × dimensions
        Joint embedding: the first principal components and all trained embeddings side by side,
        each centred and scaled to unit Frobenius norm.
    ``adata.uns[key_added]`` : dict
        ``params``; ``clusterings``, one entry per clustering: ``embedding``, ``algorithm``,
        ``n_clusters``, ``deviance_explained``, ``agreement``, ``score``; ``chosen``, the position
        of the result among them; ``reason``; ``n_clusters`` and ``cluster`` as in
        :func:`scx.tl.cluster`; ``fields`` (what was written); ``scx_version``.

    Raises
    ------
    ValueError, TypeError
        Before any training, if an argument or the counts cannot be used. The message says what to
        do. `adata` is unchanged.
    RuntimeError
        If a training diverged. `adata` is unchanged.

    Warns
    -----
    UserWarning
        If the number of clusters differs from `n_clusters`, or if the clusters separate nothing.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.ensemble(adata, n_clusters=8)
    >>> adata.uns["ensemble"]["reason"]
    """
    return ensemble_and_annotate(
        adata,
        n_clusters,
        members=DEFAULT_MEMBERS if members is None else members,
        layer=layer,
        mask_var=mask_var,
        key_added=key_added,
        n_jobs=n_jobs,
        rng=rng,
        accelerator=accelerator,
        devices=devices,
        model_dir=model_dir,
        copy=copy,
    )
