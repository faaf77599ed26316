"""From an embedding to clusters, and how sure each cell's is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

N_NEIGHBORS = 15
"""Neighbours in the graph that Leiden partitions, scanpy's default."""
MAX_RESOLUTION_STEPS = 30
"""Bisections of the resolution before the nearest number of clusters is accepted."""


@dataclass(frozen=True)
class Clustering:
    """Clusters of cells.

    Parameters
    ----------
    labels
        Cluster of each cell, shape (n_cells,); 0 is the largest.
    confidence
        Confidence of each cell's cluster in [0, 1], shape (n_cells,).
    info
        How the clusters came about, for ``uns``.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    info: Mapping[str, Any] = field(default_factory=dict)


def cluster(embedding: NDArray, n_clusters: int | None, method: str, seed: int) -> Clustering:
    """Cluster an embedding.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_dims).
    n_clusters
        Number of clusters; None lets Leiden at resolution 1 find it, whatever the method.
    method
        One of `METHODS`.
    seed
        Seed of whatever the method draws.
    """
    used = "leiden" if n_clusters is None else method
    labels = _ordered_by_size(METHODS[used](embedding, n_clusters, seed))
    info = {"n_clusters": int(labels.max()) + 1, "cluster": used}
    return Clustering(labels, centroid_margin(embedding, labels), info)


def centroid_margin(embedding: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    r"""Return how much nearer each cell is to its own cluster's mean than to the nearest other, in [0, 1].

    :math:`\max(0, 1 - d_\text{own} / d_\text{other})` with Euclidean distances d: 1 at the mean of the own cluster, 0 half-way
    to another or beyond (the silhouette coefficient in its simplified form). With a single cluster it is 1 everywhere.
    """
    from sklearn.metrics import pairwise_distances

    n_clusters = int(labels.max()) + 1
    if n_clusters == 1:
        return np.ones(len(labels), dtype=np.float32)
    means = np.stack([embedding[labels == label].mean(axis=0) for label in range(n_clusters)])
    distances = pairwise_distances(embedding, means)
    rows = np.arange(len(labels))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    other = distances.min(axis=1)
    ratio = np.divide(own, other, out=np.ones_like(own), where=other > 0)
    return np.clip(1 - ratio, 0, 1).astype(np.float32)


def _ordered_by_size(labels: NDArray) -> NDArray[np.int64]:
    """Renumber clusters from the largest to the smallest, those of one size by their first cell."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]


def _kmeans(embedding: NDArray, n_clusters: int | None, seed: int) -> NDArray:
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(embedding)


def _leiden(embedding: NDArray, n_clusters: int | None, seed: int) -> NDArray:
    """Leiden on the graph of nearest neighbours; with a number of clusters given, its resolution is searched for it."""
    import scanpy as sc

    graph = AnnData(obsm={"X": embedding})
    sc.pp.neighbors(graph, n_neighbors=min(N_NEIGHBORS, len(embedding) - 1), use_rep="X", random_state=seed)

    def partition(resolution: float) -> NDArray:
        sc.tl.leiden(graph, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
        return graph.obs["leiden"].to_numpy().astype(int)

    if n_clusters is None:
        return partition(1.0)
    low, high = 0.0, 1.0
    labels = partition(high)
    while labels.max() + 1 < n_clusters and high < len(embedding):
        low, high = high, 2 * high
        labels = partition(high)
    best = labels
    for _ in range(MAX_RESOLUTION_STEPS):
        found = best.max() + 1
        if found == n_clusters:
            break
        middle = (low + high) / 2
        labels = partition(middle)
        if labels.max() + 1 < n_clusters:
            low = middle
        else:
            high = middle
        if abs(labels.max() + 1 - n_clusters) < abs(found - n_clusters):
            best = labels
    return best


METHODS: dict[str, Callable[[NDArray, int | None, int], NDArray]] = {"kmeans": _kmeans, "leiden": _leiden}
"""Clustering methods by name: embedding, number of clusters, seed → one label per cell."""
