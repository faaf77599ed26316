from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx import _anndata, _checks
from scx._types import typed

MAX_SILHOUETTE_CELLS = 10_000
"""Cells that the silhouette samples if there are more; its cost is quadratic in their number."""


@typed
def clustering_report(
    adata: AnnData,
    labels_key: str | None,
    cluster_keys: str | Sequence[str],
    *,
    use_rep: str | None = None,
    subset: NDArray[np.bool_] | None = None,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    r"""Score clusterings against reference labels, and by their shape in an embedding.

    Parameters
    ----------
    adata
        Cells × genes, with labels and clusters in ``obs``.
    labels_key
        Column of ``obs`` with the reference labels; None omits the scores that need them.
    cluster_keys
        One or more columns of ``obs`` with clusters.
    use_rep
        Array of ``obsm``, shape (n_cells, n_dims), for the silhouette and Calinski–Harabasz; None
        omits both.
    subset
        Cells to score, such as those whose labels a method has not seen: one True or False per
        cell. A Series is aligned by its index.
    rng
        Seed or generator that samples the cells of the silhouette if there are more than 10,000.

    Returns
    -------
    One row per clustering, over the cells of `subset` that have both a label and a cluster:

    ``ari``
        Adjusted Rand index.
    ``nmi``, ``nmi_max``
        Mutual information divided by the arithmetic mean of both entropies, and by the larger one;
        papers differ.
    ``acc``
        Share of cells whose label is matched to their cluster. Labels and clusters are matched one
        to one so that the share is largest (Hungarian algorithm).
    ``homogeneity``, ``completeness``
        :math:`1 - H(\text{label} \mid \text{cluster}) / H(\text{label})`, and with label and
        cluster swapped.
    ``macro_f1``
        Mean over labels of the F1 score of the matched cluster; 0 for a label without one.
    ``silhouette``, ``calinski_harabasz``
        Mean silhouette coefficient with Euclidean distances, and the variance ratio; NaN for a
        single cluster.
    ``n_clusters``, ``n_cells``
        Number of clusters and of cells that were scored.

    Raises
    ------
    ValueError, TypeError
        If a key is unknown, or `subset` is not a mask over the cells or keeps none.

    Examples
    --------
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=10)
    >>> scx.metrics.clustering_report(adata, "bulk_labels", "contrastive", use_rep="X_contrastive")
    """
    _anndata.check_some_cells(adata)
    _anndata.check_not_empty("cluster_keys", cluster_keys)
    _checks.check_rng(rng)
    cluster_keys = [cluster_keys] if isinstance(cluster_keys, str) else list(cluster_keys)
    labels = None if labels_key is None else _anndata.check_column(adata, "labels_key", labels_key)
    clusterings = {key: _anndata.check_column(adata, "cluster_keys", key) for key in cluster_keys}
    embedding = None if use_rep is None else _anndata.check_representation(adata, "use_rep", use_rep)
    chosen = _checks.check_subset(subset, adata.obs_names)
    seed = int(np.random.default_rng(rng).integers(2**31 - 1))

    rows = {}
    for key, column in clusterings.items():
        scored = chosen & column.notna().to_numpy()
        if labels is not None:
            scored &= labels.notna().to_numpy()
        if not scored.any():
            msg = (
                "No cell to score: none of the chosen cells has a value in both "
                f"`labels_key={labels_key!r}` and `cluster_keys={key!r}`."
            )
            raise ValueError(msg)
        clusters = pd.factorize(column.to_numpy()[scored])[0]
        row: dict[str, float] = {}
        if labels is not None:
            row |= _against_labels(pd.factorize(labels.to_numpy()[scored])[0], clusters)
        if embedding is not None:
            row |= _shape(embedding[scored], clusters, seed)
        rows[key] = row | {"n_clusters": len(np.unique(clusters)), "n_cells": len(clusters)}
    return pd.DataFrame.from_dict(rows, orient="index").astype({"n_clusters": int, "n_cells": int})


def _against_labels(labels: NDArray[np.int64], clusters: NDArray[np.int64]) -> dict[str, float]:
    """Return the scores that compare labels with clusters, codes of shape (n_cells,)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics

    table = metrics.cluster.contingency_matrix(labels, clusters)
    row, column = linear_sum_assignment(table, maximize=True)
    # F1 = 2 · TP / (size of label + size of cluster); a label without a cluster has TP = 0
    f1 = np.zeros(len(table))
    f1[row] = 2 * table[row, column] / (table.sum(axis=1)[row] + table.sum(axis=0)[column])
    return {
        "ari": metrics.adjusted_rand_score(labels, clusters),
        "nmi": metrics.normalized_mutual_info_score(labels, clusters, average_method="arithmetic"),
        "nmi_max": metrics.normalized_mutual_info_score(labels, clusters, average_method="max"),
        "acc": table[row, column].sum() / len(labels),
        "homogeneity": metrics.homogeneity_score(labels, clusters),
        "completeness": metrics.completeness_score(labels, clusters),
        "macro_f1": f1.mean(),
    }


def _shape(embedding: NDArray[np.floating], clusters: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Return the scores of clusters, shape (n_cells,), in an embedding (n_cells, n_dims)."""
    from sklearn import metrics

    scores = {"silhouette": np.nan, "calinski_harabasz": np.nan}
    if 1 < len(np.unique(clusters)) < len(clusters):
        scores["calinski_harabasz"] = metrics.calinski_harabasz_score(embedding, clusters)
        sample = np.random.default_rng(seed).permutation(len(clusters))[:MAX_SILHOUETTE_CELLS]
        if 1 < len(np.unique(clusters[sample])) < len(sample):
            scores["silhouette"] = metrics.silhouette_score(embedding[sample], clusters[sample])
    return scores
