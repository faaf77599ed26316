"""The number of clusters, chosen by how separate they are and how well they fit the counts."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.arrays import Points
from scx._clustering.confidence import is_constant
from scx._clustering.evidence import deviance_explained
from scx._clustering.n_clusters import (
    MAX_CELLS,
    MIN_CELLS_PER_CLUSTER,
    N_STARTS,
    NClusters,
    NumberOfClusters,
    fixed_n_clusters,
)
from scx._rng import exclusively

BOUNDS = (2, 30)
"""Numbers to choose from if no bounds are given."""
TOLERANCE = 0.12
"""The number by separation is the largest whose separation is within this share of the best."""
WEIGHT = 2 / 3
"""Weight of the number by separation in the mean of both logarithms."""


@exclusively
def find_n_clusters_with_counts(
    n_clusters: NClusters,
    embedding: Points,
    counts: sparse.csr_matrix,
    size_factors: NDArray[np.floating],
    seed: int,
) -> NumberOfClusters:
    r"""Return the number of clusters if it is given; choose it if it is not.

    KMeans clusters the embedding for each number k. *Separation* is the mean silhouette coefficient
    of a cluster, averaged over clusters, as in
    :func:`scx._clustering.n_clusters.choose_n_clusters`; :math:`k_s` is the largest k whose
    separation is within 12 % of the best. *Fit* is the deviance of the counts explained, see
    :func:`scx._clustering.evidence.deviance_explained`. It grows with every cluster;
    :math:`k_f` is its knee, the k at which it is farthest above the straight line between both ends
    of its curve over :math:`\log k`. The choice is :math:`k_s^{2/3} k_f^{1/3}`: separation alone
    finds coarse groups in data with gradients, and the knee depends on how many k are tried.

    Parameters
    ----------
    n_clusters
        Number, bounds, or None for 2 to 30.
    embedding
        Shape (n_cells, n_dims).
    counts
        Counts of variable genes, cells × genes.
    size_factors
        Shape (n_cells,).
    seed
        Seed of the cells used, at most 2,000, and of the starts of KMeans.
    """
    if isinstance(n_clusters, int):
        return fixed_n_clusters(n_clusters)
    low, high = n_clusters or BOUNDS
    if is_constant(embedding):
        return fixed_n_clusters(low, "all cells have the same embedding")
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances

    chosen_cells = np.sort(np.random.default_rng(seed).permutation(len(embedding))[:MAX_CELLS])
    cells = np.ascontiguousarray(embedding[chosen_cells], dtype=np.float32)
    distances = pairwise_distances(cells)
    tried = np.arange(low, max(low, min(high, len(cells) // MIN_CELLS_PER_CLUSTER)) + 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Number of distinct clusters", module=r"sklearn\.")
        labellings = [KMeans(int(k), n_init=N_STARTS, random_state=seed).fit_predict(cells) for k in tried]
    separation = np.array([_separation(distances, labels) for labels in labellings])
    fit = deviance_explained(counts[chosen_cells], size_factors[chosen_cells], labellings)
    by_separation = int(tried[np.flatnonzero(separation >= separation.max() - TOLERANCE * abs(separation.max()))[-1]])
    by_fit = int(tried[_knee(np.log(tried), fit)])
    chosen = round(float(np.exp(WEIGHT * np.log(by_separation) + (1 - WEIGHT) * np.log(by_fit))))
    reason = (
        f"{chosen} is the weighted geometric mean of {by_separation}, the largest number of clusters whose separation is "
        f"within {TOLERANCE:.0%} of the best, and {by_fit}, the knee of the deviance of the counts explained"
    )
    curves = {"tried": tried, "separation": separation, "deviance_explained": fit}
    return NumberOfClusters(chosen, {"chosen": chosen, "reason": reason, "n_cells": len(cells), **curves})


def _separation(distances: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Return the mean over clusters of the mean silhouette coefficient; 0 for a single cluster."""
    from sklearn.metrics import silhouette_samples

    clusters, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 1 < len(clusters) < len(labels):
        return 0.0
    silhouette = silhouette_samples(distances, codes, metric="precomputed")
    return float((np.bincount(codes, silhouette) / sizes).mean())


def _knee(x: NDArray[np.float64], y: NDArray[np.float64]) -> int:
    """Return where y is farthest above the line between its first and its last point."""
    line = y[0] + (y[-1] - y[0]) * (x - x[0]) / max(x[-1] - x[0], np.finfo(float).tiny)
    return int(np.argmax(y - line))
