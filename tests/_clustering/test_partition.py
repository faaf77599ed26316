import dataclasses
import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from scipy.cluster import hierarchy
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture

from scx._clustering import algorithms as _algorithms
from scx._clustering import partition as _cluster
from scx._clustering.n_clusters import choose_n_clusters


@pytest.fixture(scope="module")
def blobs():
    centers = np.eye(6)[:5] * 10
    return make_blobs([200, 100, 60, 40, 20], centers=centers, cluster_std=1.0, random_state=0)


@pytest.mark.parametrize("method", _cluster.METHODS)
def test_finds_separate_groups(blobs, method):
    embedding, truth = blobs
    found = _cluster.cluster(embedding, 5, method, seed=0)
    assert adjusted_rand_score(truth, found.labels) == pytest.approx(1)
    assert np.bincount(found.labels).tolist() == [200, 100, 60, 40, 20]
    assert found.info == {
        "n_clusters": {"chosen": 5, "reason": "given"},
        "cluster": method,
        "n_cells_fitted": 420,
    }


@pytest.mark.parametrize("n_clusters", [2, 7, 12])
def test_leiden_is_searched_for_the_number_of_clusters(pbmc, n_clusters):
    from sklearn.decomposition import PCA

    embedding = PCA(10, random_state=0).fit_transform(np.log1p(pbmc.X.toarray()))
    found = _cluster.cluster(embedding, n_clusters, "leiden", seed=0)
    assert found.labels.max() + 1 == n_clusters


def test_kmeans_is_that_of_scikit_learn(blobs):
    embedding, _ = blobs
    found = _cluster.cluster(embedding, 4, "kmeans", seed=3)
    reference = KMeans(4, n_init=10, random_state=3).fit_predict(embedding)
    assert adjusted_rand_score(found.labels, reference) == 1


@pytest.mark.parametrize("method", _cluster.METHODS)
def test_fitted_on_a_sample_the_others_are_carried_over(monkeypatch, method):
    embedding, truth = make_blobs([3000, 1500, 600], centers=np.eye(3) * 12, random_state=1)
    algorithm = dataclasses.replace(_algorithms.ALGORITHMS[method], max_cells=400)
    monkeypatch.setitem(_algorithms.ALGORITHMS, method, algorithm)
    monkeypatch.setattr(_algorithms, "CHUNK", 1000)
    found = _cluster.cluster(embedding.astype(np.float32), 3, method, seed=0)
    assert found.info["n_cells_fitted"] == 400
    assert adjusted_rand_score(truth, found.labels) > 0.99


def test_gmm_is_as_likely_as_that_of_scikit_learn(blobs):
    embedding, _ = blobs
    labels = _cluster.cluster(embedding, 4, "gmm", seed=3).labels
    floor = 1e-3 * embedding.var(axis=0).mean()
    reference = GaussianMixture(4, covariance_type="diag", n_init=10, reg_covar=floor, random_state=3).fit(embedding)
    found = reference.predict(embedding)
    assert adjusted_rand_score(labels, found) > 0.95


def test_ward_is_that_of_scipy(blobs):
    embedding, _ = blobs
    reference = hierarchy.fcluster(hierarchy.ward(embedding), 7, criterion="maxclust")
    assert adjusted_rand_score(_cluster.cluster(embedding, 7, "ward", 0).labels, reference) == 1


@pytest.mark.parametrize("method", _cluster.METHODS)
def test_as_many_clusters_as_asked_for_on_few_or_uniform_cells(method):
    embedding = np.random.default_rng(0).uniform(size=(40, 3)).astype(np.float32)
    found = _cluster.cluster(embedding, 6, method, seed=0)
    assert found.n_clusters == 6
    assert np.isfinite(found.confidence).all()


@pytest.mark.parametrize("method", _cluster.METHODS)
def test_embedding_is_left_as_it_was_and_seed_repeats(blobs, method):
    embedding = blobs[0].astype(np.float32)
    before = embedding.copy()
    first, second = (_cluster.cluster(embedding, 8, method, seed=4) for _ in range(2))
    np.testing.assert_array_equal(embedding, before)
    np.testing.assert_array_equal(first.labels, second.labels)


@given(labels=st.lists(st.integers(-3, 5), min_size=1, max_size=60))
def test_clusters_are_numbered_by_size(labels):
    ordered = _cluster.ordered_by_size(np.array(labels))
    sizes = np.bincount(ordered)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert len(set(zip(labels, ordered.tolist(), strict=True))) == len(set(labels)) == len(sizes)


def test_confidence_is_the_posterior_of_student_t(blobs):
    embedding, truth = blobs
    confidence = _cluster.posterior(embedding, truth)
    scale = np.sum((embedding - embedding.mean(axis=0)) ** 2) / len(embedding) / 4
    means = np.stack([embedding[truth == k].mean(axis=0) for k in range(5)])
    for cell in (0, 17, 333):
        # scipy's density with three degrees of freedom in one dimension falls as (1 + d² / s²) to the power of −2
        densities = stats.t.pdf(np.linalg.norm(means - embedding[cell], axis=1), df=3, scale=np.sqrt(scale / 3))
        assert confidence[cell] == pytest.approx(densities[truth[cell]] / densities.sum(), rel=1e-5)


def test_confidence_at_the_edges():
    line = np.array([[0.0], [1.0], [4.0], [9.0], [10.0], [4.5]])
    confidence = _cluster.posterior(line, np.array([0, 0, 0, 1, 1, 1]))
    assert confidence[2] < confidence[1]
    assert confidence[5] < 0.5  # nearer to the other mean
    # nothing is told apart
    assert (_cluster.posterior(line, np.zeros(6, dtype=int)) == 0.5).all()
    assert (_cluster.posterior(np.ones((4, 2)), np.array([0, 0, 1, 1])) == 0.5).all()


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5), seed=st.integers(0, 50))
def test_confidence_knows_no_units_and_no_origin(scale, shift, seed):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 3, 27), [0, 1, 2])
    embedding = rng.normal(size=(30, 4)) + labels[:, None]
    expected = _cluster.posterior(embedding, labels)
    np.testing.assert_allclose(_cluster.posterior(embedding * scale + shift * scale, labels), expected, rtol=1e-4)


def test_chunks_do_not_change_confidence(blobs, monkeypatch):
    embedding, truth = blobs
    expected = _cluster.posterior(embedding, truth)
    monkeypatch.setattr(_cluster, "CHUNK", 100)
    np.testing.assert_allclose(_cluster.posterior(embedding, truth), expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["kmeans", "gmm", "leiden"])
def test_uncertain_cells_are_the_wrong_ones(method):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    embedding = rng.normal(size=(2000, 5)) + 3.2 * np.eye(5)[truth]
    found = _cluster.cluster(embedding, 4, method, seed=0)
    wrong = contingency_matrix(truth, found.labels).argmax(axis=0)[found.labels] != truth
    low = found.confidence <= np.quantile(found.confidence, 0.1)
    assert wrong[low].mean() > 3 * wrong[~low].mean()


def test_clusters_of_one_name_are_joined_or_told_apart():
    """Clusters 0, 1 and 3 are mostly of type b, 2 has no vote; a type that is called like a numbered one keeps its name."""
    labels = np.repeat([0, 1, 2, 3, 4], [9, 7, 5, 4, 3])
    voters = np.repeat([1, 1, -1, 1, 2], [9, 7, 5, 4, 3])
    voters[0] = 0
    found = _cluster.Clustering(labels, info={"n_clusters": {"chosen": 5, "reason": "given"}})
    names = ("a", "b", "b (1)")
    apart = _cluster.named_after(found, voters, names, join=False)
    assert apart.names == ("b (2)", "b (3)", "b (4)", "b (1)", "new_1")
    assert np.array_equal(apart.labels, np.repeat([0, 1, 4, 2, 3], [9, 7, 5, 4, 3]))
    assert apart.info == found.info
    joined = _cluster.named_after(found, voters, names, join=True)
    assert joined.names == ("b", "b (1)", "new_1")
    assert np.array_equal(joined.labels, np.repeat([0, 0, 2, 0, 1], [9, 7, 5, 4, 3]))
    assert joined.info["n_clusters"]["chosen"] == 3


def test_cells_that_differ_by_rounding_only_are_constant():
    """64 units in the last place: a part in 130,000 in single precision, and in 7 · 10¹³ in double."""
    for dtype, small, large in ((np.float32, 7e-6, 1e-5), (np.float64, 1.3e-14, 2e-14)):
        for size in (-3.0, 1e4):
            cells = np.tile(np.array([size, size / 2, 0.0]), (5, 1))
            assert _cluster.is_constant(cells.astype(dtype))
            cells[1, 0] *= 1 + small
            assert _cluster.is_constant(cells.astype(dtype))
            cells[1, 0] = size * (1 + large)
            assert not _cluster.is_constant(cells.astype(dtype))
    assert _cluster.is_constant(np.zeros((3, 2)))


def test_number_of_clusters_is_chosen_where_none_is_given(blobs):
    embedding = blobs[0][::4]
    found = _cluster.cluster(embedding, None, "kmeans", seed=2)
    chosen = choose_n_clusters(embedding, 2)
    assert found.n_clusters == found.info["n_clusters"]["chosen"] == chosen.chosen
    np.testing.assert_array_equal(found.info["n_clusters"]["score"], chosen.info["score"])
    np.testing.assert_array_equal(found.confidence, _cluster.posterior(embedding, found.labels))


def test_leiden_at_a_resolution_is_that_of_scanpy(blobs):
    embedding = np.random.default_rng(0).normal(size=(300, 4))
    reference = ad.AnnData(obsm={"X": embedding})
    sc.pp.neighbors(reference, n_neighbors=15, use_rep="X", random_state=3)
    found = {}
    for resolution in (0.4, None):
        found[resolution] = _cluster.cluster(embedding, None, "leiden", seed=3, resolution=resolution)
        used = 1.0 if resolution is None else resolution
        sc.tl.leiden(
            reference, resolution=used, random_state=3, flavor="igraph", n_iterations=2, directed=False, key_added="l"
        )
        assert adjusted_rand_score(reference.obs["l"], found[resolution].labels) == 1
        number = found[resolution].info["n_clusters"]
        assert number["chosen"] == found[resolution].n_clusters == reference.obs["l"].nunique()
        assert number["resolution"] == used
        assert number["reason"] == f"Leiden at resolution {used}"
        assert found[resolution].info["n_cells_fitted"] == 300
    assert found[0.4].n_clusters < found[None].n_clusters


def test_leiden_at_a_resolution_draws_the_same_sample_for_the_same_seed(monkeypatch):
    embedding = np.random.default_rng(0).normal(size=(400, 3))
    algorithm = dataclasses.replace(_algorithms.ALGORITHMS["leiden"], max_cells=150)
    monkeypatch.setitem(_algorithms.ALGORITHMS, "leiden", algorithm)
    first, second = (_cluster.cluster(embedding, None, "leiden", seed=1) for _ in range(2))
    assert first.info["n_cells_fitted"] == 150
    np.testing.assert_array_equal(first.labels, second.labels)


def test_kmeans_that_begins_on_a_sample_ends_with_every_cell_nearest_to_its_mean(monkeypatch):
    """A fixed point of KMeans on all cells, as good as that of scikit-learn."""
    embedding = np.random.default_rng(0).normal(size=(600, 2))
    monkeypatch.setitem(_algorithms.ALGORITHMS, "kmeans", _algorithms.Algorithm(_algorithms._kmeans, 200))
    labels = _cluster.cluster(embedding, 3, "kmeans", seed=0).labels
    means = np.stack([embedding[labels == k].mean(axis=0) for k in range(3)])
    distances = np.linalg.norm(embedding[:, None] - means, axis=2)
    assert (distances.argmin(axis=1) == labels).mean() > 0.99
    assert (distances.min(axis=1) ** 2).sum() < 1.02 * KMeans(3, n_init=10, random_state=0).fit(embedding).inertia_


def mixture_by_loop(cells, labels, n_clusters, floor):
    """Expectation and maximisation for Gaussians with diagonal covariances, from clusters, until likelihoods gain less than 0.001."""

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
    """Groups of unequal size and width, one of them flat in a dimension, so that the least variance matters."""
    rng = np.random.default_rng(0)
    widths = np.array([[3.0, 1.0, 1.0], [0.5, 0.5, 0.5], [1.0, 1.0, 0.0], [0.3, 2.0, 1.0]])
    truth = np.repeat(np.arange(4), [300, 150, 100, 50])
    cells = rng.normal(size=(600, 3)) * widths[truth] + np.array([[0, 0, 9], [5, 0, 9], [0, 4, 9], [3, 3, 12]])[truth]
    start = KMeans(5, n_init=10, random_state=1).fit_predict(cells)
    expected = mixture_by_loop(cells, start, 5, 1e-3 * cells.var(axis=0).mean())
    found = _cluster.cluster(cells, 5, "gmm", seed=1).labels
    assert adjusted_rand_score(expected, found) > 0.99


def test_empty_clusters_get_the_nearest_cells_that_are_not_alone():
    embedding = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    labels = _algorithms._fill_up(np.array([0, 0, 0, 0, 2]), 4, np.array([[1.0], [9.0], [10.0], [0.1]]), embedding)
    assert labels.tolist() == [3, 0, 0, 1, 2]


def test_cells_outside_the_sample_take_the_label_of_most_of_fifteen_neighbours(monkeypatch):
    monkeypatch.setattr(_algorithms, "CHUNK", 70)
    rng = np.random.default_rng(0)
    embedding, labels = rng.normal(size=(200, 2)), rng.integers(0, 3, 90)
    fitted = np.sort(rng.choice(200, 90, replace=False))
    carried = _algorithms._carried_over(embedding, fitted, labels)
    np.testing.assert_array_equal(carried[fitted], labels)
    for cell in np.setdiff1d(np.arange(200), fitted):
        nearest = np.argsort(np.linalg.norm(embedding[fitted] - embedding[cell], axis=1))[:15]
        assert carried[cell] == np.bincount(labels[nearest], minlength=3).argmax()


def test_spectral_is_that_of_scikit_learn_and_does_not_warn_of_groups_that_lie_apart(blobs):
    near = np.random.default_rng(0).normal(size=(150, 3))
    reference = SpectralClustering(4, affinity="nearest_neighbors", n_neighbors=15, n_init=10, random_state=2)
    labels = _cluster.cluster(near, 4, "spectral", seed=2).labels
    assert adjusted_rand_score(labels, reference.fit_predict(near)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _cluster.cluster(blobs[0], 5, "spectral", seed=0)


def test_confidence_of_cells_that_do_not_differ_is_that_of_chance():
    cells = np.full((20, 2), 0.1) + np.array([1e3, -1e3])
    confidence = _cluster.posterior(cells, np.arange(20) % 4)
    assert confidence.dtype == np.float32
    np.testing.assert_array_equal(confidence, np.full(20, 0.25))
    differ = cells + 1e-3 * np.random.default_rng(0).normal(size=cells.shape)
    confidence = _cluster.posterior(differ, np.arange(20) % 4)
    assert confidence.dtype == np.float32
    assert len(np.unique(confidence)) > 10


def test_clusters_without_a_vote_are_new_types():
    labels = np.repeat([0, 1, 2, 3, 4], [6, 5, 4, 3, 2])
    voters = np.repeat([0, 0, -1, -1, 1], [6, 5, 4, 3, 2])
    found = _cluster.Clustering(labels, info={"n_clusters": {"chosen": 5, "reason": "given"}})
    joined = _cluster.named_after(found, voters, ("a", "b"), join=True)
    assert joined.names == ("a", "b", "new_1", "new_2")
    assert np.array_equal(joined.labels, np.repeat([0, 0, 2, 3, 1], [6, 5, 4, 3, 2]))
    assert joined.info["n_clusters"]["reason"] == "given; 4 after those of one name were joined"
    apart = _cluster.named_after(found, voters, ("a", "b"), join=False)
    assert apart.names == ("a (1)", "a (2)", "b", "new_1", "new_2")
    assert np.array_equal(apart.labels, np.repeat([0, 1, 3, 4, 2], [6, 5, 4, 3, 2]))
    each = _cluster.named_after(found, labels, ("a", "b", "c", "d", "e"), join=True)
    assert each.info == found.info
    assert _cluster.named_after(found, np.full(20, -1), (), join=True).names == tuple(f"new_{i}" for i in range(1, 6))


def test_number_of_clusters_found_is_told_beside_the_one_asked_for():
    sure = np.full(6, 0.9, dtype=np.float32)
    info = {"n_clusters": {"chosen": 3, "reason": "given", "n_cells": 6}, "cluster": "kmeans"}
    found = _cluster.Clustering(np.array([0, 0, 1, 1, 2, 2]), confidence=sure, info=info)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = _cluster.checked(found, 3)
        assert same.info == {**info, "n_clusters": {"chosen": 3, "asked": 3, "reason": "given", "n_cells": 6}}
        assert _cluster.checked(found, None).info == info
    fewer = dataclasses.replace(found, labels=np.array([0, 0, 1, 1, 1, 1]))
    with pytest.warns(
        UserWarning, match=r"^There are 2 clusters, not the 3 that `n_clusters` asks for \(given; 2 found\)"
    ):
        number = _cluster.checked(fewer, 3).info["n_clusters"]
    assert number == {"chosen": 2, "asked": 3, "reason": "given; 2 found", "n_cells": 6}


def test_clusters_that_separate_nothing_warn():
    """All cells in one cluster, or cells less sure of theirs than of one drawn at random."""
    info = {"n_clusters": {"chosen": 2, "reason": "given"}}
    unsure = _cluster.Clustering(np.arange(6) % 2, confidence=np.full(6, 0.3, dtype=np.float32), info=info)
    with pytest.warns(UserWarning, match=r"^The clusters separate nothing: cells are as near .* their own\. Look at"):
        _cluster.checked(unsure, 2)
    one = dataclasses.replace(unsure, labels=np.zeros(6, dtype=int), info={"n_clusters": {"chosen": 1, "reason": "x"}})
    with pytest.warns(UserWarning, match=r"^The clusters separate nothing: all cells are in one\. Look at"):
        _cluster.checked(one, None)
    types = _cluster.Prediction(("a", "b"), np.full((6, 2), 0.5, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _cluster.checked(dataclasses.replace(unsure, prediction=types), 2)
        _cluster.checked(dataclasses.replace(unsure, confidence=None), 2)


def test_a_constant_embedding_is_one_cluster_of_no_confidence():
    found = _cluster.cluster(np.ones((12, 2), dtype=np.float32), 4, "kmeans", 0)
    assert (found.labels == 0).all()
    np.testing.assert_array_equal(found.confidence, np.full(12, 0.25, dtype=np.float32))
    assert found.confidence.dtype == np.float32
    assert found.info == {
        "n_clusters": {"chosen": 1, "reason": "all cells have the same embedding"},
        "cluster": "kmeans",
        "n_cells_fitted": 0,
    }
    assert (_cluster.cluster(np.ones((12, 2)), None, "kmeans", 0).confidence == 0.5).all()


def test_confidence_does_not_depend_on_where_the_origin_is(blobs):
    embedding, truth = blobs
    confidence = _cluster.posterior(embedding, truth)
    np.testing.assert_allclose(_cluster.posterior(1e-6 * embedding + 1000, truth), confidence, rtol=1e-3)
