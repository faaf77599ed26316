"""The clustering algorithms, each implemented by a library, and kept affordable for many cells."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from scx._clustering.arrays import Labels, Points
from scx._clustering.rules import Mixture, NearestCenter, NeighborVote, Rule

N_NEIGHBORS = 15
"""Neighbours in the graphs of Leiden and spectral clustering."""
N_STARTS = 10
"""Starts of KMeans, of which the best is kept."""
MAX_RESOLUTION_STEPS = 30
"""Bisections of the resolution before the nearest number of clusters is accepted."""
GMM_FLOOR = 1e-3
"""Least variance of a mixture component in a dimension, relative to the mean over dimensions."""


@dataclass(frozen=True)
class Algorithm:
    """A clustering algorithm.

    Parameters
    ----------
    fit
        A function of an embedding, shape (n_cells, n_dims), the indices of the cells to fit on,
        increasing, a number of clusters, and a seed. It returns one label per cell, shape
        (n_cells,), and the rule that gives these labels to new points.
    max_cells
        Most cells to fit on; the others are assigned to the clusters of these. None for no limit.
    """

    fit: Callable[[Points, NDArray[np.int64], int, int], tuple[Labels, Rule]]
    max_cells: int | None


def run_algorithm(name: str, embedding: Points, n_clusters: int, seed: int) -> tuple[Labels, Rule, int]:
    """Cluster all cells with one of `ALGORITHMS`.

    Returns
    -------
    Label of each cell, shape (n_cells,), the rule that gives these labels to new points, and the
    number of cells that were fitted on.
    """
    n_cells = len(embedding)
    if n_clusters in (1, n_cells):
        # Nothing to find: a single cluster, for which any center will do, or one for each cell.
        return np.arange(n_cells) % n_clusters, NearestCenter(embedding[:n_clusters].copy()), n_cells
    fitted = _sample(name, n_cells, seed, n_clusters)
    with warnings.catch_warnings():
        # the caller warns
        warnings.filterwarnings("ignore", message="Number of distinct clusters", module=r"sklearn\.")
        labels, rule = ALGORITHMS[name].fit(embedding, fitted, n_clusters, seed)
    return labels, rule, len(fitted)


def leiden_at(resolution: float, embedding: Points, seed: int) -> tuple[Labels, Rule, int]:
    """Cluster all cells by Leiden at a resolution; return the same as :func:`run_algorithm`."""
    fitted = _sample("leiden", len(embedding), seed)
    labels, rule = assign_by_vote(embedding, fitted, _leiden_on_neighbors(embedding[fitted], seed)(resolution))
    return labels, rule, len(fitted)


def assign_by_vote(embedding: Points, fitted: NDArray[np.int64], fitted_labels: Labels) -> tuple[Labels, NeighborVote]:
    """Assign all cells by a vote of the nearest fitted cells, which keep their labels."""
    rule = NeighborVote(embedding[fitted], fitted_labels)
    if len(fitted) == len(embedding):
        return fitted_labels, rule
    labels = rule.assign(embedding)
    labels[fitted] = fitted_labels
    return labels, rule


def _sample(name: str, n_cells: int, seed: int, n_clusters: int = 1) -> NDArray[np.int64]:
    """Return the indices of the cells to fit on, increasing; there is at least one per cluster."""
    max_cells = ALGORITHMS[name].max_cells
    if max_cells is None or n_cells <= max(max_cells, n_clusters):
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, max(max_cells, n_clusters), replace=False))


def _kmeans(embedding: Points, fitted: NDArray[np.int64], n_clusters: int, seed: int) -> tuple[Labels, Rule]:
    """KMeans: all starts run on the cells `fitted`; the best of them continues on all cells."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit(embedding[fitted])
    if len(fitted) < len(embedding):
        # With tol > 0 scikit-learn forms the variance with arrays as large as the embedding. From
        # this start KMeans converges without it.
        start = kmeans.cluster_centers_
        kmeans = KMeans(n_clusters, init=start, n_init=1, max_iter=20, tol=0).fit(embedding)
    # With too few distinct cells, some clusters are empty.
    filled, labels = np.unique(kmeans.labels_, return_inverse=True)
    return labels, NearestCenter(kmeans.cluster_centers_[filled])


def _gmm(embedding: Points, fitted: NDArray[np.int64], n_clusters: int, seed: int) -> tuple[Labels, Rule]:
    """Mixture of Gaussians with diagonal covariances, started from KMeans."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    sample = embedding[fitted].astype(np.float64)
    start = KMeans(n_clusters, n_init=N_STARTS, random_state=seed).fit(sample)
    filled = np.unique(start.labels_)  # with too few distinct cells, some clusters are empty
    means = start.cluster_centers_[filled]
    # relative to the spread of the data, so that the variances of small clusters do not vanish
    floor = GMM_FLOOR * sample.var(axis=0).mean() or 1.0
    variances = np.stack([sample[start.labels_ == cluster].var(axis=0) for cluster in filled])
    mixture = GaussianMixture(
        len(filled),
        covariance_type="diag",
        weights_init=np.bincount(start.labels_)[filled] / len(sample),
        means_init=means,
        precisions_init=1 / (variances + floor),
        reg_covar=floor,
        init_params="random_from_data",  # unused; cheapest option
        random_state=seed,
    ).fit(sample)
    rule = Mixture(mixture.weights_, mixture.means_, mixture.covariances_)
    return _fill_empty_clusters(rule.assign(embedding), means, embedding), rule


def _ward(embedding: Points, fitted: NDArray[np.int64], n_clusters: int, seed: int) -> tuple[Labels, Rule]:
    """Agglomerative clustering with Ward linkage."""
    from sklearn.cluster import AgglomerativeClustering

    ward = AgglomerativeClustering(n_clusters, linkage="ward")
    return assign_by_vote(embedding, fitted, ward.fit_predict(embedding[fitted]))


def _spectral(embedding: Points, fitted: NDArray[np.int64], n_clusters: int, seed: int) -> tuple[Labels, Rule]:
    """Spectral clustering of the graph of nearest neighbours."""
    from sklearn.cluster import SpectralClustering

    spectral = SpectralClustering(
        n_clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(N_NEIGHBORS, len(fitted)),
        n_init=N_STARTS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        fitted_labels = spectral.fit_predict(embedding[fitted])
    return assign_by_vote(embedding, fitted, fitted_labels)


def _leiden(embedding: Points, fitted: NDArray[np.int64], n_clusters: int, seed: int) -> tuple[Labels, Rule]:
    """Leiden on the graph of nearest neighbours; the resolution is searched."""
    labels_at = _leiden_on_neighbors(embedding[fitted], seed)
    low, high = 0.0, 1.0
    labels = labels_at(high)
    while labels.max() + 1 < n_clusters and high < len(fitted):
        low, high = high, 2 * high
        labels = labels_at(high)
    best = labels
    for _ in range(MAX_RESOLUTION_STEPS):
        n_found = best.max() + 1
        if n_found == n_clusters:
            break
        middle = (low + high) / 2
        labels = labels_at(middle)
        if labels.max() + 1 < n_clusters:
            low = middle
        else:
            high = middle
        if abs(labels.max() + 1 - n_clusters) < abs(n_found - n_clusters):
            best = labels
    return assign_by_vote(embedding, fitted, best)


def _leiden_on_neighbors(cells: Points, seed: int) -> Callable[[float], Labels]:
    """Return a function from a resolution to the clusters of the graph of nearest neighbours."""
    import scanpy as sc

    graph = AnnData(shape=(len(cells), 0))
    graph.obsm["X"] = cells
    sc.pp.neighbors(graph, n_neighbors=min(N_NEIGHBORS, len(cells) - 1), use_rep="X", random_state=seed)

    def labels_at(resolution: float) -> Labels:
        sc.tl.leiden(graph, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
        return graph.obs["leiden"].to_numpy().astype(np.int64)

    return labels_at


def _fill_empty_clusters(labels: Labels, means: NDArray[np.float64], embedding: Points) -> Labels:
    """Give each empty cluster the cell nearest to the mean that the cluster started from."""
    n_clusters = len(means)
    for cluster in np.setdiff1d(np.arange(n_clusters), labels):
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
"""Clustering algorithms by name. Samples keep time and memory about linear in the cells."""
