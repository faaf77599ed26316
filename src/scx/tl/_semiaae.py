from typing import Unpack

from anndata import AnnData

from scx._anndata import UNLABELED
from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def semiaae(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    labels_key: str | None = None,
    unlabeled_category: str = UNLABELED,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Carry the types of some cells over to all, and find cells of new types, by an adversarial autoencoder :cite:p:`Wang2023`.

    The autoencoder explains counts by a zero-inflated negative binomial distribution, a discriminator holds its embedding to
    the prior, and a classifier, the head, reads the known types from it. Without labels, what remains is an unsupervised
    embedding, which is clustered.

    In ``recipe="default"`` the head learns from a teacher: before training, the type of every cell is estimated by label
    spreading over the graph of neighbours and by logistic regression, see :func:`scx.model._semiaae.guidance.guide`. This teacher, which
    the article does not have, is what makes the predictions good. With it, likelihood and discriminator change the predicted
    types by less than the spread between seeds; they shape the embedding. ``recipe="paper"`` has no teacher.

    Parameters
    ----------
    {data}
    labels_key
        Column of ``obs`` with the types of some cells. It is not changed. None for no labels.
    unlabeled_category
        Cells with this entry, an empty one or NaN are unlabelled.
    {options}

    Returns
    -------
    {returns}

    With labels, clusters are named: a known type keeps its name, others are ``new_1``, ``new_2``, …, and `n_clusters` counts the
    known ones too, as the most clusters there can be; with None, new ones are as many as there are groups of cells that no
    label reaches. `cluster` is not used then. With ``recipe="paper"``, it clusters embedding and probabilities, into `n_clusters`
    clusters, or as many as known types; two clusters of one type stay two, ``B cell (1)`` and ``B cell (2)``. These fields
    differ or are added:

    ``adata.obs[f"{key_added}_prediction"]`` : categorical
        Known type that each cell is most likely of; at labelled cells too, so that it may differ from a label that is wrong.
    ``adata.obsm[f"{key_added}_proba"]`` : float32, cells × types
        Probability of each known type, in the order of ``adata.uns[key_added]["types"]``.
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Probability of the prediction, lowered where labels hardly reach the cell.
    ``adata.uns[key_added]``
        Also ``types``, and ``calibration``: ``temperature``, ``reason``, and where cells could be held back, by bins of confidence,
        ``confidence``, ``accuracy`` and ``n_cells`` of them, and ``ece``, the expected calibration error.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> adata.obs["some_labels"] = adata.obs["bulk_labels"].astype(str)
    >>> adata.obs.loc[adata.obs_names[100:], "some_labels"] = "Unknown"
    >>> scx.tl.semiaae(adata, labels_key="some_labels")
    >>> sc.pp.neighbors(adata, use_rep="X_semiaae")
    >>> sc.tl.umap(adata)
    >>> sc.pl.umap(adata, color=["semiaae", "semiaae_confidence"])
    """
    return fit_and_annotate(
        METHODS["semiaae"], adata, n_clusters, options, labels_key=labels_key, unlabeled_category=unlabeled_category
    )
