import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

from scx.model import _guidance
from scx.model._guidance import calibrate, coverage, guide, one_hot, reliability, spread, transition_matrix


def blobs(n_cells=400, n_types=4, seed=0):
    cells, types = make_blobs(n_cells, n_features=10, centers=n_types, random_state=seed)
    neighbors = NearestNeighbors(n_neighbors=15).fit(cells).kneighbors(return_distance=False)
    return neighbors, cells, types


def given_types(types, fraction, seed=0):
    return np.where(np.random.default_rng(seed).random(len(types)) < fraction, types, -1)


def test_transition_matrix_walks_along_edges_of_either_direction():
    neighbors = np.array([[1], [2], [1], [1]])
    expected = [[0, 1, 0, 0], [1 / 3, 0, 1 / 3, 1 / 3], [0, 1, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_allclose(transition_matrix(neighbors).toarray(), expected)


def test_spread_is_label_spreading():
    """The closed form (1 − α)(I − αW)⁻¹Y, but for what 30 steps leave of it."""
    neighbors, _, types = blobs(100)
    walk = transition_matrix(neighbors)
    given = np.eye(4)[types] * (np.arange(100) % 5 == 0)[:, None]
    dense = np.eye(100) - 0.9 * walk.toarray()
    np.testing.assert_allclose(spread(walk, given), 0.1 * np.linalg.solve(dense, given), atol=2 * 0.9**30)


def test_coverage_does_not_count_a_cells_own_label():
    neighbors, _, types = blobs(200)
    walk = transition_matrix(neighbors)
    codes = np.full(200, -1)
    alone = np.flatnonzero(types == 0)[0]
    codes[np.flatnonzero(types == 1)[:20]] = 1
    reached, _ = coverage(spread(walk, one_hot(codes, 4)), codes, types)
    assert (reached[types == 0] == 0).all()
    codes[alone] = 0
    with_own, _ = coverage(spread(walk, one_hot(codes, 4)), codes, types)
    # what remains is what comes back over the neighbours, less than what any of them gets
    assert with_own[alone] < with_own[neighbors[alone]].max()


def test_coverage_by_hand():
    """A label stands for as many cells of its type as there are to each, and for no fewer than the mean label."""
    neighbors, _, types = blobs()
    walk = transition_matrix(neighbors)
    codes = np.where((types == 0) & (np.arange(400) % 2 == 0) | (np.arange(400) % 20 == 0), types, -1)
    reach, rate = coverage(spread(walk, one_hot(codes, 4)), codes, types)
    share = np.array([(codes == t).sum() / (types == t).sum() for t in range(4)])
    share = np.minimum(share, (codes >= 0).mean())
    given = np.eye(5)[codes, :4]  # the last row, of cells without a type, is without a 1 here
    expected = sum((spread(walk, given[:, t]) - 0.1 * given[:, t]) / (0.9 * share[t]) for t in range(4))
    np.testing.assert_allclose(rate, share[types])
    np.testing.assert_allclose(reach, expected)


@pytest.mark.parametrize("kind", ["one type in full", "ten of each"])
def test_types_labelled_at_unequal_rates_are_not_new(kind):
    sizes = [600, 200, 100, 100]
    cells, types = make_blobs(sizes, n_features=10, centers=None, random_state=1)
    neighbors = NearestNeighbors(n_neighbors=15).fit(cells).kneighbors(return_distance=False)
    place = np.concatenate([np.random.default_rng(0).permutation(n) for n in sizes])[
        np.argsort(np.argsort(types, kind="stable"))
    ]
    codes = (
        np.where(place < 10, types, -1) if kind == "ten of each" else np.where((types == 1) | (place < 10), types, -1)
    )
    found = guide(neighbors, cells, codes, 4, 0)
    assert (found.group == -1).all()
    assert (found.reach > 0.4).mean() > 0.95


@pytest.mark.parametrize("fraction", [0.2, 0.02])
def test_types_are_carried_over(fraction):
    neighbors, cells, types = blobs()
    codes = given_types(types, fraction)
    codes[[np.flatnonzero(types == t)[0] for t in range(4)]] = np.arange(4)
    target = guide(neighbors, cells, codes, 4, 0).target
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-5)
    assert (target.argmax(axis=1) == types).mean() > 0.98


def test_one_cell_of_each_type_is_enough():
    neighbors, cells, types = blobs()
    codes = np.full(400, -1)
    codes[[np.flatnonzero(types == t)[0] for t in range(4)]] = np.arange(4)
    found = guide(neighbors, cells, codes, 4, 0)
    assert (found.target.argmax(axis=1) == types).mean() > 0.95
    assert found.calibration["temperature"] == 1
    assert "0 labelled cells" in found.calibration["reason"]


def test_one_type_alone():
    neighbors, cells, types = blobs()
    codes = np.where(types == 2, 0, -1)
    found = guide(neighbors, cells, codes, 1, 0)
    np.testing.assert_allclose(found.target, 1)
    assert (found.group[types == 2] == -1).all()
    assert (found.group[types != 2] >= 0).all()


def test_wrong_labels_are_outvoted():
    neighbors, cells, types = blobs()
    rng = np.random.default_rng(1)
    codes = given_types(types, 0.3)
    wrong = (codes >= 0) & (rng.random(400) < 0.2)
    codes[wrong] = (codes[wrong] + rng.integers(1, 4, wrong.sum())) % 4
    found = guide(neighbors, cells, codes, 4, 0).target.argmax(axis=1)
    assert (found == types).mean() > 0.98
    assert (found[wrong] == types[wrong]).mean() > 0.9


def test_the_better_guess_counts_more():
    """With neighbours at random, only the linear classifier knows anything; with components at random, only the graph."""
    neighbors, cells, types = blobs()
    rng = np.random.default_rng(0)
    codes = given_types(types, 0.5)
    no_graph = guide(rng.integers(400, size=neighbors.shape), cells, codes, 4, 0)
    no_components = guide(neighbors, rng.normal(size=cells.shape), codes, 4, 0)
    assert no_graph.calibration["spread_weight"] < 0.5 < no_components.calibration["spread_weight"]
    assert (no_graph.target.argmax(axis=1) == types).mean() > 0.98
    assert (no_components.target.argmax(axis=1) == types).mean() > 0.98


def test_target_is_the_joint_estimate_with_the_exponents_that_are_reported():
    neighbors, cells, types = blobs(seed=3)
    codes = given_types(types, 0.3)
    found = guide(neighbors, cells, codes, 4, 0)
    told, linear = _guidance.guesses(spread(transition_matrix(neighbors), one_hot(codes, 4)), cells, codes)
    weight, temperature = found.calibration["spread_weight"], found.calibration["temperature"]
    assert abs(temperature - 1) > 0.01
    joined = told ** (weight / temperature) * linear ** ((1 - weight) / temperature)
    np.testing.assert_allclose(found.target, joined / joined.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7)


def test_a_type_that_no_label_names_is_a_group_of_its_own():
    neighbors, cells, types = blobs()
    codes = np.where(types == 3, -1, given_types(types, 0.2))
    found = guide(neighbors, cells, codes, 3, 0)
    np.testing.assert_array_equal(found.group, np.where(types == 3, 0, -1))
    assert found.reach[types == 3].max() < found.reach[types != 3].min()


def test_groups_too_small_to_miss_a_label_are_not_new():
    neighbors, cells, types = blobs()
    cells_of_3 = np.flatnonzero(types == 3)
    kept = np.setdiff1d(np.arange(400), cells_of_3[25:])  # 25 cells, of which 5 % are one or two
    cells, types = cells[kept], types[kept]
    neighbors = NearestNeighbors(n_neighbors=15).fit(cells).kneighbors(return_distance=False)
    codes = np.where(types == 3, -1, given_types(types, 0.05))
    found = guide(neighbors, cells, codes, 3, 0)
    assert (found.group[types == 3] == -1).all()


def test_calibration_finds_the_temperature():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), size=5000)
    truth = np.array([rng.choice(3, p=p) for p in honest])
    boastful = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    _, calibration = calibrate(np.stack([boastful, boastful]), truth)
    assert calibration["temperature"] == pytest.approx(3, rel=0.1)
    assert calibration["ece"] < 0.03
    assert reliability(boastful.max(axis=1), boastful.argmax(axis=1) == truth)["ece"] > 0.1


def test_each_held_back_cell_is_left_out_once_and_types_never_vanish():
    codes = np.array([0] * 7 + [1] * 2 + [2] + [-1] * 5)
    folds = _guidance._folds(codes, 3, 0)
    np.testing.assert_array_equal(np.sum(folds, axis=0), [1] * 9 + [0] * 6)
    for fold in folds:
        assert set(codes[(codes >= 0) & ~fold]) == {0, 1, 2}


def test_reliability_by_hand():
    confidence = np.array([0.05, 0.55, 0.55, 0.95, 1.0])
    correct = np.array([False, True, False, True, True])
    found = reliability(confidence, correct)
    np.testing.assert_allclose(found["confidence"], [0.05, 0.55, 0.975])
    np.testing.assert_allclose(found["accuracy"], [0, 0.5, 1])
    np.testing.assert_array_equal(found["n_cells"], [1, 2, 2])
    assert found["ece"] == pytest.approx((0.05 + 2 * 0.05 + 2 * 0.025) / 5)
