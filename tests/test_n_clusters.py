import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples

from scx import _n_clusters
from scx._n_clusters import choose_n_clusters


def groups(sizes, seed=0, n_dims=10, distance=12.0):
    """Normal groups around corners of a simplex."""
    centers = np.eye(max(n_dims, len(sizes)))[: len(sizes)] * distance
    return make_blobs(sizes, centers=centers, random_state=seed)[0].astype(np.float32)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(k=st.integers(2, 9), seed=st.integers(0, 100))
def test_recovers_groups_that_lie_apart(k, seed):
    sizes = np.random.default_rng(seed).integers(40, 150, k).tolist()
    assert choose_n_clusters(groups(sizes, seed), seed).chosen == k


def test_recovers_unequal_groups():
    assert choose_n_clusters(groups([1000, 500, 250, 60, 40]), 0).chosen == 5


@pytest.mark.slow
def test_recovers_many_groups_by_going_on_while_scores_rise():
    # one cluster more changes a mean over 24 of them by less than the tolerance
    assert 24 <= choose_n_clusters(groups([60] * 24), 0).chosen <= 25


def test_stops_trying_far_above_the_best():
    info = choose_n_clusters(groups([200] * 3), 0).info
    assert info["tried"].tolist() == list(range(2, 17))


def test_does_not_depend_on_units_or_rotation():
    embedding = groups([100, 80, 60, 40])
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0].astype(np.float32)
    first, second = choose_n_clusters(embedding, 0), choose_n_clusters(7 * embedding @ rotation, 0)
    assert first.chosen == second.chosen
    np.testing.assert_allclose(first.info["separation"][:3], second.info["separation"][:3], rtol=1e-3)


def test_same_seed_same_curves():
    embedding = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    first, second = choose_n_clusters(embedding, 3).info, choose_n_clusters(embedding, 3).info
    np.testing.assert_array_equal(first["score"], second["score"])


def test_stability_and_separation_of_one_split_by_hand():
    cells = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    halves = np.arange(30), np.arange(30, 60)
    distances = np.linalg.norm(cells[:, None] - cells[None], axis=2).astype(np.float32)
    stability, separation = _n_clusters._score_split(cells, distances, halves, 4, np.array([5, 6]))
    first, second = (
        KMeans(4, n_init=_n_clusters.N_STARTS, random_state=seed).fit(cells[half]).predict(cells)
        for half, seed in zip(halves, (5, 6), strict=True)
    )
    jaccard = [
        max(np.sum((first == a) & (second == b)) / np.sum((first == a) | (second == b)) for b in range(4))
        for a in range(4)
    ]
    assert stability == pytest.approx(np.mean(jaccard))
    silhouette = silhouette_samples(cells, first)
    assert separation == pytest.approx(np.mean([silhouette[first == a].mean() for a in range(4)]), rel=1e-4)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize(
    "embedding", [np.ones((50, 3)), np.random.default_rng(0).normal(size=(12, 2)), np.arange(10.0)[:, None]]
)
def test_too_little_to_go_by_still_gives_a_number(embedding):
    number = choose_n_clusters(embedding, 0)
    assert 2 <= number.chosen <= len(embedding)


def test_only_a_sample_takes_part():
    embedding = groups([4000, 4000, 2000])
    number = choose_n_clusters(embedding, 0)
    assert number.info["n_cells"] == _n_clusters.MAX_CELLS
    assert number.chosen == 3
