"""The clustering algorithms, each by its library's implementation, and how each is kept affordable on many cells."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

N_NEIGHBORS = 15
"""Neighbours in the graphs that Leiden and spectral clustering partition, and that vote where a sample's clusters are carried over."""
N_STARTS = 10
"""Starts of KMeans, of which the best is kept."""
MAX_RESOLUTION_STEPS = 30
"""Bisections of the resolution before the nearest number of clusters is accepted."""
GMM_FLOOR = 1e-3
"""Least variance of a mixture's component along any dimension, as a share of the mean variance of the data."""
CHUNK = 65_536
"""Cells that are predicted at a time, so that no array of cells × clusters in double precision outgrows the embedding."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Algorithm:
    """A clustering algorithm.

    Parameters
    ----------
    fit
        From an embedding, shape (n_cells, n_dims), the cells to fit on, a number of clusters and a seed to one label per cell.
    max_cells
        Most cells it is fitted on; the others are given to the clusters that these form. None for no limit.
    """

    fit: Callable[[NDArray, NDArray, int, int], Labels]
    max_cells: int | None


def run_algorithm(name: str, embedding: NDArray, n_clusters: int, seed: int) -> tuple[Labels, int]:
    """Cluster all cells with one of `ALGORITHMS`; return their labels, shape (n_cells,), and how many were fitted on."""
    n_cells = len(embedding)
    if n_clusters in (1, n_cells):  # what no algorithm need find
        return np.arange(n_cells) % n_clusters, n_cells
    fitted = _sample(name, n_cells, seed, n_clusters)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Number of distinct clusters", module=r"sklearn\."
        )  # the caller warns
        return ALGORITHMS[name].fit(embedding, fitted, n_clusters, seed), len(fitted)


def leiden_at(resolution: float, embedding: NDArray, seed: int) -> tuple[Labels, int]:
    """Cluster all cells by Leiden at a resolution, with as many clusters as it finds; return what :func:`run_algorithm` does."""
    fitted = _sample("leiden", len(embedding), seed)
    return _carried_over(embedding, fitted, _partitions(embedding[fitted], seed)(resolution)), len(fitted)


def _sample(name: str, n_cells: int, seed: int, n_clusters: int = 1) -> NDArray[np.int64]:
    """Return the cells that an algorithm is fitted on, increasing; at least one for each cluster."""
    most = ALGORITHMS[name].max_cells
    if most is None or n_cells <= max(most, n_clusters):
        return np.arange(n_cells)
    most = max(most, n_clusters)
    return np.sort(np.random.default_rng(seed).choice(n_cells, most, replace=False))


def _kmeans(embedding: NDArray, fitted: NDArray, n_clusters: int, seed: int) -> Labels:
    """KMeans: all starts run on the cells `fitted`, the best of them goes on with all cells."""
    from sklearn.cluster import KMeans

    start = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit(embedding[fitted])
    if len(fitted) == len(embedding):
        return start.labels_
    # tol > 0 has scikit-learn form the variance with arrays as large as the embedding; from this start it converges anyway
    return KMeans(n_clusters, init=start.cluster_centers_, n_init=1, max_iter=20, tol=0).fit(embedding).labels_


def _gmm(embedding: NDArray, fitted: NDArray, n_clusters: int, seed: int) -> Labels:
    """Mixture of Gaussians with diagonal covariances, started from KMeans."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    sample = embedding[fitted].astype(np.float64)
    start = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit(sample)
    filled = np.unique(start.labels_)  # of fewer distinct cells than clusters, KMeans leaves some empty
    n_clusters, means = len(filled), start.cluster_centers_[filled]
    # variances of small clusters are kept from vanishing, relative to the spread of the data
    floor = GMM_FLOOR * sample.var(axis=0).mean() or 1.0
    variances = np.stack([sample[start.labels_ == cluster].var(axis=0) for cluster in filled])
    mixture = GaussianMixture(
        n_clusters,
        covariance_type="diag",
        weights_init=np.bincount(start.labels_)[filled] / len(sample),
        means_init=means,
        precisions_init=1 / (variances + floor),
        reg_covar=floor,
        init_params="random_from_data",  # not used, and the quickest
        random_state=seed,
    ).fit(sample)
    labels = _by_chunks(mixture.predict, embedding)
    return _fill_up(labels, n_clusters, means, embedding)


def _ward(embedding: NDArray, fitted: NDArray, n_clusters: int, seed: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering

    sample = embedding[fitted]
    return _carried_over(embedding, fitted, AgglomerativeClustering(n_clusters, linkage="ward").fit_predict(sample))


def _spectral(embedding: NDArray, fitted: NDArray, n_clusters: int, seed: int) -> Labels:
    """Spectral clustering of the graph of nearest neighbours."""
    from sklearn.cluster import SpectralClustering

    sample = embedding[fitted]
    spectral = SpectralClustering(
        n_clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(N_NEIGHBORS, len(sample)),
        n_init=N_STARTS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        return _carried_over(embedding, fitted, spectral.fit_predict(sample))


def _leiden(embedding: NDArray, fitted: NDArray, n_clusters: int, seed: int) -> Labels:
    """Leiden on the graph of nearest neighbours, its resolution searched for the number of clusters."""
    partition = _partitions(embedding[fitted], seed)
    low, high = 0.0, 1.0
    labels = partition(high)
    while labels.max() + 1 < n_clusters and high < len(fitted):
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
    return _carried_over(embedding, fitted, best)


def _partitions(cells: NDArray, seed: int) -> Callable[[float], Labels]:
    """Return what gives Leiden's partition of the graph of nearest neighbours at a resolution."""
    import scanpy as sc

    graph = AnnData(obsm={"X": cells})
    sc.pp.neighbors(graph, n_neighbors=min(N_NEIGHBORS, len(cells) - 1), use_rep="X", random_state=seed)

    def partition(resolution: float) -> Labels:
        sc.tl.leiden(graph, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
        return graph.obs["leiden"].to_numpy().astype(int)

    return partition


def _carried_over(embedding: NDArray, fitted: NDArray, labels: Labels) -> Labels:
    """Give all cells labels, shape (n_cells,), by a vote of their nearest neighbours among the cells `fitted`."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(fitted) == len(embedding):
        return labels
    voters = KNeighborsClassifier(N_NEIGHBORS).fit(embedding[fitted], labels)
    carried = _by_chunks(voters.predict, embedding)
    carried[fitted] = labels
    return carried


def _by_chunks(predict: Callable[[NDArray], NDArray], embedding: NDArray) -> Labels:
    starts = range(0, len(embedding), CHUNK)
    return np.concatenate([predict(embedding[start : start + CHUNK]) for start in starts]).astype(np.int64)


def _fill_up(labels: Labels, n_clusters: int, means: NDArray, embedding: NDArray) -> Labels:
    """Give clusters that came out empty the cell nearest to where they began, so that there are as many as were asked for."""
    empty = np.setdiff1d(np.arange(n_clusters), labels)
    for cluster in empty:
        counts = np.bincount(labels, minlength=n_clusters)
        distances = ((embedding - means[cluster]) ** 2).sum(axis=1)
        distances[counts[labels] == 1] = np.inf
        labels[distances.argmin()] = cluster
    return labels


ALGORITHMS: dict[str, Algorithm] = {
    "kmeans": Algorithm(_kmeans, 100_000),
    "gmm": Algorithm(_gmm, 50_000),
    "ward": Algorithm(_ward, 5_000),
    "spectral": Algorithm(_spectral, 10_000),
    "leiden": Algorithm(_leiden, 50_000),
}
"""Clustering algorithms by name. What grows faster than linearly in time or memory is fitted on a random sample."""
