import warnings

import numpy as np
import pytest
from scipy import special, stats
from scipy.cluster import hierarchy
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from scx._clustering import algorithms, arrays
from scx._clustering.algorithms import ALGORITHMS, assign_by_vote
from scx._clustering.fit import fit_partition


@pytest.mark.parametrize("n_clusters", [2, 7, 12])
def test_leiden_is_searched_for_the_number_of_clusters(pbmc, n_clusters):
    from sklearn.decomposition import PCA

    embedding = PCA(10, random_state=0).fit_transform(np.log1p(pbmc.X.toarray()))
    found = fit_partition(embedding, n_clusters, "leiden", seed=0)
    assert found.labels.max() + 1 == n_clusters


def test_kmeans_is_that_of_scikit_learn(blobs):
    embedding, _ = blobs
    found = fit_partition(embedding, 4, "kmeans", seed=3)
    reference = KMeans(4, n_init=10, random_state=3).fit_predict(embedding)
    assert adjusted_rand_score(found.labels, reference) == 1


def test_gmm_is_as_likely_as_that_of_scikit_learn(blobs):
    embedding, _ = blobs
    labels = fit_partition(embedding, 4, "gmm", seed=3).labels
    floor = 1e-3 * embedding.var(axis=0).mean()
    reference = GaussianMixture(4, covariance_type="diag", n_init=10, reg_covar=floor, random_state=3).fit(embedding)
    found = reference.predict(embedding)
    assert adjusted_rand_score(labels, found) > 0.95


def test_ward_is_that_of_scipy(blobs):
    embedding, _ = blobs
    reference = hierarchy.fcluster(hierarchy.ward(embedding), 7, criterion="maxclust")
    assert adjusted_rand_score(fit_partition(embedding, 7, "ward", 0).labels, reference) == 1


def test_kmeans_that_begins_on_a_sample_ends_with_every_cell_nearest_to_its_mean(monkeypatch):
    """A fixed point of KMeans on all cells, as good as that of scikit-learn."""
    embedding = np.random.default_rng(0).normal(size=(600, 2))
    monkeypatch.setitem(ALGORITHMS, "kmeans", algorithms.Algorithm(algorithms._kmeans, 200))
    labels = fit_partition(embedding, 3, "kmeans", seed=0).labels
    means = np.stack([embedding[labels == k].mean(axis=0) for k in range(3)])
    distances = np.linalg.norm(embedding[:, None] - means, axis=2)
    assert (distances.argmin(axis=1) == labels).mean() > 0.99
    assert (distances.min(axis=1) ** 2).sum() < 1.02 * KMeans(3, n_init=10, random_state=0).fit(embedding).inertia_


def mixture_by_loop(cells, labels, n_clusters, floor):
    """Expectation and maximisation for Gaussians with diagonal covariances, from clusters, until
    likelihoods gain less than 0.001.
    """

    def logits_given(share):
        mass = share.sum(axis=0)
        means = share.T @ cells / mass[:, None]
        variances = np.stack([share[:, k] @ (cells - means[k]) ** 2 / mass[k] for k in range(n_clusters)]) + floor
        laws = [stats.norm(means[k], variances[k] ** 0.5).logpdf(cells).sum(axis=1) for k in range(n_clusters)]
        return np.log(mass / len(cells)) + np.stack(laws, axis=1)

    before, gain = -np.inf, np.inf
    logits = logits_given(np.eye(n_clusters)[labels])
    while gain > 1e-3:
        likelihood = special.logsumexp(logits, axis=1).mean()
        before, gain = likelihood, likelihood - before
        logits = logits_given(special.softmax(logits, axis=1))
    return logits.argmax(axis=1)


def test_gmm_is_expectation_and_maximisation_from_kmeans():
    """Groups of unequal size and width, one of them flat in a dimension, so that the least
    variance matters.
    """
    rng = np.random.default_rng(0)
    widths = np.array([[3.0, 1.0, 1.0], [0.5, 0.5, 0.5], [1.0, 1.0, 0.0], [0.3, 2.0, 1.0]])
    truth = np.repeat(np.arange(4), [300, 150, 100, 50])
    cells = rng.normal(size=(600, 3)) * widths[truth] + np.array([[0, 0, 9], [5, 0, 9], [0, 4, 9], [3, 3, 12]])[truth]
    start = KMeans(5, n_init=10, random_state=1).fit_predict(cells)
    expected = mixture_by_loop(cells, start, 5, 1e-3 * cells.var(axis=0).mean())
    found = fit_partition(cells, 5, "gmm", seed=1).labels
    assert adjusted_rand_score(expected, found) > 0.99


def test_empty_clusters_get_the_nearest_cells_that_are_not_alone():
    embedding = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    labels = algorithms._fill_empty_clusters(
        np.array([0, 0, 0, 0, 2]), np.array([[1.0], [9.0], [10.0], [0.1]]), embedding
    )
    assert labels.tolist() == [3, 0, 0, 1, 2]


def test_cells_outside_the_sample_take_the_label_of_most_of_fifteen_neighbours(monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", 70)
    rng = np.random.default_rng(0)
    embedding, labels = rng.normal(size=(200, 2)), rng.integers(0, 3, 90)
    fitted = np.sort(rng.choice(200, 90, replace=False))
    carried, rule = assign_by_vote(embedding, fitted, labels)
    np.testing.assert_array_equal(carried[fitted], labels)
    voted = rule.assign(embedding)
    for cell in np.setdiff1d(np.arange(200), fitted):
        nearest = np.argsort(np.linalg.norm(embedding[fitted] - embedding[cell], axis=1))[:15]
        assert carried[cell] == voted[cell] == np.bincount(labels[nearest], minlength=3).argmax()


def test_spectral_is_that_of_scikit_learn_and_does_not_warn_of_groups_that_lie_apart(blobs):
    near = np.random.default_rng(0).normal(size=(150, 3))
    reference = SpectralClustering(4, affinity="nearest_neighbors", n_neighbors=15, n_init=10, random_state=2)
    labels = fit_partition(near, 4, "spectral", seed=2).labels
    assert adjusted_rand_score(labels, reference.fit_predict(near)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_partition(blobs[0], 5, "spectral", seed=0)
