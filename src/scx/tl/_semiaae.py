from typing import Unpack

from anndata import AnnData

from scx._anndata import UNLABELED
from scx._methods import METHODS
from scx._workflow.options import FitOptions, method_function
from scx._workflow.walk import fit_and_annotate


@method_function
def semiaae(
    adata: AnnData,
    n_clusters: int | tuple[int, int] | None = None,
    *,
    labels_key: str | None = None,
    unlabeled_category: str = UNLABELED,
    **options: Unpack[FitOptions],
) -> AnnData | None:
    """Embed cells, predict their types from labels of some, and find new types :cite:p:`Wang2023`.

    An adversarial autoencoder models counts by a zero-inflated negative binomial distribution. A
    discriminator keeps the embedding close to the prior, and a classifier, the head, predicts the
    known types from it. Without labels, the embedding is unsupervised; after training, it is
    clustered.

    In ``recipe="default"`` the head learns from a teacher: before training, the type of every cell
    is estimated by label spreading over the graph of neighbours and by logistic regression, see
    :func:`scx.model._semiaae.guidance.guide`. The article has no teacher, and the good predictions
    are due to it. With the teacher, likelihood and discriminator shape the embedding, but change
    the predicted types by less than the spread between seeds. ``recipe="paper"`` has no teacher.

    Parameters
    ----------
    {data}
    labels_key
        Column of ``obs`` with the types of some cells. It is not changed. None for no labels.
    unlabeled_category
        Entry of `labels_key` that marks a cell as unlabelled. Cells with an empty entry or NaN are
        unlabelled too.
    {options}

    {returns}

    Notes ----- With labels, clusters have names. A known type keeps its name; new types are
    ``new_1``, ``new_2``, … The number of clusters depends on the recipe:

    ``recipe="default"``
        `n_clusters` is the largest number of clusters, known types included. None adds one new type
        for each group of cells that no label reaches. `cluster` is not used.
    ``recipe="paper"``
        `cluster` clusters embedding and probabilities together, into `n_clusters` clusters, or into
        as many as there are known types. Two clusters of one type stay two clusters, ``B cell (1)``
        and ``B cell (2)``.

    With labels, these fields are added or differ:

    ``adata.obs[f"{key_added}_prediction"]`` : categorical
        Most likely known type of each cell, labelled cells included, so it can differ from a wrong
        label.
    ``adata.obsm[f"{key_added}_proba"]`` : float32, cells × types
        Probability of each known type, in the order of ``adata.uns[key_added]["types"]``.
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Probability of the prediction, lowered where labels hardly reach the cell.
    ``adata.uns[key_added]`` : dict
        Also ``types`` and ``calibration``: ``temperature``, ``reason``, and if some labelled cells
        could be held back, the expected calibration error ``ece`` and, by bins of confidence, the
        mean ``confidence``, the ``accuracy`` and ``n_cells``.

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
