import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_samples

from scx._clustering import n_clusters as _n_clusters
from scx._clustering.n_clusters import choose_n_clusters


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_only_a_sample_takes_part():
    embedding = groups([4000, 4000, 2000])
    number = choose_n_clusters(embedding, 0)
    assert number.info["n_cells"] == _n_clusters.MAX_CELLS
    assert number.chosen == 3


def test_the_largest_number_within_five_percent_of_the_best_is_chosen_and_the_curves_are_means_over_splits(monkeypatch):
    """On stability and separation from a table: 0.95 of the best is near enough, 0.94 is not;
    numbers end ten above 2 × best.
    """
    best = {2: 0.5, 3: 1.0, 4: 0.9, 5: 0.96, 6: 0.94}
    calls = []

    def score(cells, distances, halves, n_clusters, seeds):
        split = calls.count(n_clusters)
        calls.append(n_clusters)
        assert sorted(np.concatenate(halves)) == list(range(300))
        np.testing.assert_allclose(distances[0], np.linalg.norm(cells - cells[0], axis=1), rtol=1e-4, atol=1e-3)
        return 0.5 + split / 100, best.get(n_clusters, 0.1)

    monkeypatch.setattr(_n_clusters, "_score_split", score)
    number = choose_n_clusters(np.random.default_rng(0).normal(size=(300, 3)), 0)
    tried = range(2, 17)
    stability = np.mean([0.5 + split / 100 for split in range(6)])
    separation = np.array([best.get(k, 0.1) for k in tried])
    assert number.chosen == number.info["chosen"] == 5
    assert number.info["tried"].tolist() == list(tried)
    np.testing.assert_allclose(number.info["stability"], stability)
    np.testing.assert_allclose(number.info["separation"], separation)
    np.testing.assert_allclose(number.info["score"], stability * separation)
    assert number.info["n_cells"] == 300
    assert number.info["reason"] == (
        "5 is the largest number of clusters whose score, stability times separation, is within 5% of the best "
        f"({stability:.3f}, at 3)"
    )


@pytest.mark.parametrize(("n_cells", "largest"), [(12, 2), (39, 3), (60, 6)])
def test_halves_hold_five_cells_per_cluster(n_cells, largest):
    embedding = np.random.default_rng(0).normal(size=(n_cells, 2))
    assert choose_n_clusters(embedding, 0).info["tried"].tolist() == list(range(2, largest + 1))


def test_two_clusters_that_lie_apart_score_and_cells_that_do_not_differ_do_not():
    cells = np.array([[0.0], [0.1], [5.0], [5.2]] * 5, dtype=np.float32)
    halves = np.arange(10), np.arange(10, 20)
    distances = np.abs(cells - cells.T)
    stability, separation = _n_clusters._score_split(cells, distances, halves, 2, np.array([1, 2]))
    assert stability == 1
    silhouette = silhouette_samples(cells, cells[:, 0] > 1)
    assert separation == pytest.approx(silhouette.mean(), rel=1e-5)  # both have ten cells
    alike = np.ones_like(cells)
    with pytest.warns(ConvergenceWarning):
        assert _n_clusters._score_split(alike, np.zeros_like(distances), halves, 2, np.array([1, 2])) == (0, 0)
