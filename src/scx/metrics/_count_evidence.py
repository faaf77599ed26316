from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scx import _anndata, _checks
from scx._clustering.evidence import N_GENES, evidence, log_likelihood, reassigned
from scx._rng import spawn_seeds
from scx._types import typed
from scx._workflow.inputs import checked_counts
from scx._workflow.prepare import variable_counts


@typed
def count_evidence(
    adata: AnnData,
    keys: str | Sequence[str],
    *,
    layer: str | None = None,
    n_top_genes: int = N_GENES,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    r"""Score clusterings by the counts and by their agreement, without reference labels.

    The count of gene g in cell i of cluster c is Poisson distributed with mean
    :math:`s_i \lambda_{cg}`; s is the total count of the cell over all genes with counts in at
    least three cells, and :math:`\lambda_{cg} = \sum_{i \in c} x_{ig} / \sum_{i \in c} s_i`. Counts
    within a homogeneous population are close to Poisson :cite:p:`Townes2019`, so clusters of one
    type each fit well.

    Compare clusterings with about the same number of clusters: more clusters always fit the counts
    better. Deviance explained alone may follow depth, the cell cycle or batches; agreement alone
    may follow errors that all clusterings share. No score sees what the counts do not show.

    Parameters
    ----------
    adata
        Cells × genes, with raw counts in ``X`` or in `layer`, and clusters in ``obs``.
    keys
        Columns of ``obs`` with clusters, whoever made them. Every cell needs a cluster.
    layer
        Layer with raw counts; None for ``X``.
    n_top_genes
        Number of the most variable genes whose counts are used.
    rng
        Seed or generator that divides the cells into halves for ``stability``.

    Returns
    -------
    One row per clustering:

    ``score``
        Mean adjusted Rand index :cite:p:`Hubert1985` with all clusterings, itself included, each
        weighted by its rank in deviance explained, 1 for the worst. :func:`scx.tl.ensemble` keeps
        the clustering with the highest score. NaN for a single clustering.
    ``agreement``
        Mean adjusted Rand index with the other clusterings, all with the same weight.
    ``deviance_explained``
        Gain in log-likelihood over a single cluster, as a share of the gain of a model with one
        mean for every count: 0 to 1.
    ``log_likelihood``
        Mean log-likelihood of a cell, in nats.
    ``stability``
        Share of cells whose cluster has the highest likelihood under rates estimated on the other
        half of the cells.
    ``n_clusters``
        Number of clusters.

    Raises
    ------
    ValueError, TypeError
        If a key is unknown, a cell has no cluster, or the counts are not raw counts. The message
        says what to do.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> for method in ("kmeans", "ward", "leiden"):
    ...     scx.tl.cluster(adata, 8, use_rep="X_pca", method=method, key_added=method)
    >>> scx.metrics.count_evidence(adata, ["kmeans", "ward", "leiden"])
    """
    _anndata.check_anndata(adata)
    _anndata.check_layer(adata, layer)
    _anndata.check_storage(adata, layer, copy=True)
    _anndata.check_not_empty("keys", keys)
    _checks.check_positive_int("n_top_genes", n_top_genes, minimum=_anndata.MIN_GENES)
    _checks.check_rng(rng)
    names = [keys] if isinstance(keys, str) else list(dict.fromkeys(keys))
    labellings = [_anndata.check_labels(adata, name) for name in names]
    genes = variable_counts(checked_counts(adata, layer), None, n_top_genes)
    counts, size_factors = genes.counts, genes.size_factors
    found = evidence(counts, size_factors, labellings)
    columns = {
        "score": found.score,
        "agreement": found.agreement,
        "deviance_explained": found.deviance_explained,
        "log_likelihood": log_likelihood(counts, size_factors, labellings),
        "stability": reassigned(counts, size_factors, labellings, *spawn_seeds(rng, 1)),
        "n_clusters": [int(labels.max()) + 1 for labels in labellings],
    }
    return pd.DataFrame(columns, index=names)
