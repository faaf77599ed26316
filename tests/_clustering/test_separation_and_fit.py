import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import silhouette_samples

from scx._clustering.separation_and_fit import _knee, _separation, find_n_clusters_with_counts


@pytest.fixture
def groups():
    """Embedding and counts of five unequal groups, with size factors."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), [90, 60, 40, 30, 20])
    embedding = rng.normal(10 * np.eye(5)[truth], 1.0).astype(np.float32)
    factors = rng.uniform(0.5, 2.0, size=len(truth))
    counts = rng.poisson(factors[:, None] * rng.gamma(1.0, 1.0, size=(5, 60))[truth])
    return embedding, sparse.csr_matrix(counts.astype(np.float32)), factors


def test_finds_the_number_of_separate_groups(groups):
    found = find_n_clusters_with_counts(None, *groups, 0)
    assert found.chosen == 5
    assert "geometric mean of 5" in found.info["reason"]
    assert found.info["tried"].tolist() == list(range(2, 31))
    assert (np.diff(found.info["deviance_explained"]) > -0.01).all()


def test_bounds(groups):
    assert find_n_clusters_with_counts(3, *groups, 0).info == {"chosen": 3, "reason": "given"}
    assert find_n_clusters_with_counts((2, 3), *groups, 0).chosen == 3
    found = find_n_clusters_with_counts((7, 9), *groups, 0)
    assert 7 <= found.chosen <= 9
    assert found.info["tried"].tolist() == [7, 8, 9]
    assert find_n_clusters_with_counts((4, 4), *groups, 0).chosen == 4


def test_separation_weighs_clusters_equally(groups):
    points = groups[0]
    labels = np.repeat([7, 3, 9], [200, 30, 10])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    silhouette = silhouette_samples(points, labels)
    expected = np.mean([silhouette[labels == label].mean() for label in (3, 7, 9)])
    assert _separation(distances.astype(np.float32) * (1 - np.eye(240, dtype=np.float32)), labels) == pytest.approx(
        expected, abs=1e-5
    )
    assert _separation(distances, np.zeros(240, dtype=int)) == 0


def test_knee():
    x = np.arange(11.0)
    assert _knee(x, np.minimum(x, 4)) == 4
    assert _knee(np.array([3.0]), np.array([0.2])) == 0


def test_cells_that_do_not_differ(groups):
    _, counts, factors = groups
    same = np.ones((240, 3), dtype=np.float32)
    assert find_n_clusters_with_counts((3, 6), same, counts, factors, 0).chosen == 3
    same[:2, 0] = 5  # two distinct cells
    assert find_n_clusters_with_counts((2, 6), same, counts, factors, 0).chosen >= 2
