import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.cluster import hierarchy
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture

from scx import _algorithms, _cluster


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
