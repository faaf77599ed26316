"""A fitted partition assigns points: the fitted cells again, and new ones."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_blobs

from scx._clustering import arrays
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.fit import fit_partition
from scx._clustering.naming import named_after
from scx._clustering.types import Clusters, Partition

SIZES = [300, 150, 90, 60]
CENTERS = 9 * np.eye(5)[:4]


def groups(dtype=np.float64, seed=0):
    points, truth = make_blobs(SIZES, centers=CENTERS, random_state=seed)
    return points.astype(dtype), truth


@pytest.fixture
def small_samples(monkeypatch):
    """Every algorithm is fitted on a third of the cells."""
    for name, algorithm in ALGORITHMS.items():
        monkeypatch.setitem(ALGORITHMS, name, dataclasses.replace(algorithm, max_cells=200))


@pytest.mark.parametrize("sampled", [False, True], ids=["all cells", "a sample"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_fitted_cells_get_their_labels_and_confidence_again(algorithm, dtype, sampled, request):
    if sampled:
        request.getfixturevalue("small_samples")
    embedding, _ = groups(dtype)
    partition = fit_partition(embedding, 4, algorithm, seed=0)
    assert partition.info["n_cells_fitted"] == (200 if sampled else 600)
    labels, confidence = partition.assignment.assign(embedding)
    assert labels.dtype == partition.labels.dtype == np.int64
    assert confidence.dtype == partition.confidence.dtype == np.float32
    same = labels == partition.labels
    assert same.mean() >= 0.99
    np.testing.assert_allclose(confidence[same], partition.confidence[same], rtol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_new_cells_get_the_cluster_of_their_group(algorithm):
    partition = fit_partition(groups()[0], 4, algorithm, seed=0)
    points, truth = groups(seed=1)
    labels, confidence = partition.assignment.assign(points)
    assert (labels == truth).mean() >= 0.99  # groups and clusters are both numbered by size
    assert confidence.mean() == pytest.approx(partition.confidence.mean(), abs=0.02)


@pytest.mark.parametrize("n_clusters", [3, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_converged_kmeans_assigns_the_fitted_cells_exactly(dtype, n_clusters, small_samples):
    """Also where no gap divides the clusters."""
    embedding = np.random.default_rng(n_clusters).uniform(size=(150, 2)).astype(dtype)
    partition = fit_partition(embedding, n_clusters, "kmeans", seed=0)
    np.testing.assert_array_equal(partition.assignment.assign(embedding)[0], partition.labels)


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm"])
def test_clusters_left_empty_by_equal_cells_are_not_assigned(algorithm):
    embedding = np.repeat(np.eye(3), [9, 6, 5], axis=0)
    partition = fit_partition(embedding, 5, algorithm, seed=0)
    assert partition.n_clusters == 3
    np.testing.assert_array_equal(partition.assignment.assign(embedding)[0], np.repeat([0, 1, 2], [9, 6, 5]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_points_are_assigned_one_by_one(algorithm, monkeypatch):
    partition = fit_partition(groups()[0], 4, algorithm, seed=0)
    points = np.random.default_rng(0).uniform(-3, 12, (150, 5))
    labels, confidence = partition.assignment.assign(points)
    order = np.random.default_rng(1).permutation(len(points))
    monkeypatch.setattr(arrays, "CHUNK", 20)
    shuffled_labels, shuffled_confidence = partition.assignment.assign(points[order])
    np.testing.assert_array_equal(shuffled_labels, labels[order])
    np.testing.assert_allclose(shuffled_confidence, confidence[order], rtol=1e-5)
    no_labels, no_confidence = partition.assignment.assign(points[:0])
    assert no_labels.shape == no_confidence.shape == (0,)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_confidence_of_new_points_is_the_posterior_under_the_fitted_clusters(algorithm):
    embedding, _ = groups()
    partition = fit_partition(embedding, 4, algorithm, seed=0)
    means = np.stack([embedding[partition.labels == k].mean(axis=0) for k in range(4)])
    scale = np.sqrt(np.sum((embedding - embedding.mean(axis=0)) ** 2) / len(embedding) / 4)
    points = np.random.default_rng(0).uniform(-3, 12, (50, 5))
    labels, confidence = partition.assignment.assign(points)
    distances = np.linalg.norm(points[:, None] - means, axis=2)
    densities = stats.t.pdf(distances, df=3, scale=scale / np.sqrt(3))
    np.testing.assert_allclose(
        confidence, densities[np.arange(50), labels] / densities.sum(axis=1), rtol=1e-5, err_msg=algorithm
    )


@pytest.mark.parametrize("join", [True, False])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_names_and_joined_clusters_hold_for_new_points(algorithm, join):
    embedding, truth = groups()
    partition = fit_partition(embedding, 4, algorithm, seed=0)
    # of the groups, 0 and 3 are of type b, 1 is of type a, and 2 is of no known type
    named = named_after(partition, np.array([1, 0, -1, 1])[truth], ("a", "b"), join=join)
    names = ("a", "b", "new_1") if join else ("a", "b (1)", "b (2)", "new_1")
    assert named.names == names
    labels, confidence = named.assignment.assign(embedding)
    assert (labels == named.labels).mean() >= 0.99
    np.testing.assert_array_equal(confidence, partition.assignment.assign(embedding)[1])
    points, truth = groups(seed=1)
    expected = np.array(["b", "a", "new_1", "b"] if join else ["b (1)", "a", "new_1", "b (2)"])
    assert (np.array(names)[named.assignment.assign(points)[0]] == expected[truth]).mean() >= 0.99


def test_renumbered_twice_is_renumbered_by_both():
    embedding, _ = groups()
    partition = fit_partition(embedding, 4, "kmeans", seed=0)
    first, second = np.array([3, 0, 1, 2]), np.array([1, 0, 0, 2])
    renumbered = partition.renumbered(first).renumbered(second)
    np.testing.assert_array_equal(renumbered.labels, second[first][partition.labels])
    np.testing.assert_array_equal(renumbered.assignment.assign(embedding)[0], renumbered.labels)


def test_a_single_cluster_and_one_for_each_cell():
    embedding, _ = groups(np.float32)
    few = embedding[::20]
    labels, confidence = fit_partition(few, 1, "ward", seed=0).assignment.assign(embedding)
    assert (labels == 0).all()
    assert (confidence == 0.5).all()
    partition = fit_partition(few, len(few), "ward", seed=0)
    np.testing.assert_array_equal(partition.assignment.assign(few)[0], partition.labels)
    np.testing.assert_allclose(partition.assignment.assign(few)[1], partition.confidence, rtol=1e-6)


def test_clusters_of_a_constant_embedding_take_any_point_with_the_confidence_of_chance():
    partition = fit_partition(np.ones((12, 2)), 4, "kmeans", seed=0)
    labels, confidence = partition.assignment.assign(np.random.default_rng(0).normal(size=(7, 2)))
    assert (labels == 0).all()
    assert (confidence == 0.25).all()


def test_without_a_rule_there_are_no_clusters_for_new_points():
    partition = Partition(np.array([0, 0, 1]))
    assert partition.clusters is None
    assert partition.renumbered(np.array([1, 0])).clusters is None


def test_clusters_for_new_points_have_names():
    partition = fit_partition(groups()[0], 4, "kmeans", seed=0)
    assert partition.clusters == Clusters(("0", "1", "2", "3"), partition.assignment)
    further = dataclasses.replace(partition.assignment, further_names=("e",))
    named = dataclasses.replace(partition, names=("a", "b", "c", "d"), assignment=further)
    assert named.clusters.names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_assigns_points_is_plain_and_apart_from_the_data(algorithm):
    """Dataclasses of arrays and numbers, which can be saved without pickle; changing the embedding
    changes none of them.
    """
    embedding, _ = groups()
    partition = fit_partition(embedding, 4, algorithm, seed=0)
    points = embedding.copy()
    labels, _ = partition.assignment.assign(points)
    embedding[:] = 0
    np.testing.assert_array_equal(partition.assignment.assign(points)[0], labels)
    remaining = [partition.assignment]
    while remaining:
        value = remaining.pop()
        if dataclasses.is_dataclass(value):
            remaining += [getattr(value, field.name) for field in dataclasses.fields(value)]
        else:
            is_array = isinstance(value, np.ndarray)
            assert value.dtype.kind in "if" if is_array else isinstance(value, float) or value == ()
