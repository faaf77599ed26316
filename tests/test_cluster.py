import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from scx import _cluster


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
    assert found.info == {"n_clusters": 5, "cluster": method}


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


def test_unknown_number_is_left_to_leiden(blobs):
    embedding, truth = blobs
    found = _cluster.cluster(embedding, None, "kmeans", seed=0)
    assert found.info["cluster"] == "leiden"
    assert adjusted_rand_score(truth, found.labels) > 0.5


@given(labels=st.lists(st.integers(-3, 5), min_size=1, max_size=60))
def test_clusters_are_numbered_by_size(labels):
    ordered = _cluster._ordered_by_size(np.array(labels))
    sizes = np.bincount(ordered)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert len(set(zip(labels, ordered.tolist(), strict=True))) == len(set(labels)) == len(sizes)


def test_confidence_is_the_margin_between_means(blobs):
    embedding, truth = blobs
    confidence = _cluster.centroid_margin(embedding, truth)
    means = np.stack([embedding[truth == k].mean(axis=0) for k in range(5)])
    for cell in (0, 17, 333):
        distances = np.sort(np.linalg.norm(means - embedding[cell], axis=1))
        assert confidence[cell] == pytest.approx(1 - distances[0] / distances[1], rel=1e-5)
    # agrees with the silhouette, which it simplifies
    assert np.corrcoef(confidence, silhouette_samples(embedding, truth))[0, 1] > 0.9


def test_confidence_at_the_edges():
    line = np.array([[0.0], [1.0], [4.0], [9.0], [10.0], [4.5]])
    confidence = _cluster.centroid_margin(line, np.array([0, 0, 0, 1, 1, 1]))
    assert confidence[2] < confidence[1]
    assert confidence[5] == 0  # nearer to the other mean
    assert (_cluster.centroid_margin(line, np.zeros(6, dtype=int)) == 1).all()
    same = np.ones((4, 2))
    assert (_cluster.centroid_margin(same, np.array([0, 0, 1, 1])) == 0).all()
