import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from scx.model._semiaae import guidance as _guidance
from scx.model._semiaae.guidance import (
    calibrate,
    coverage,
    guide,
    one_hot,
    reliability,
    spread,
    transition_matrix,
    unreached_groups,
)


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


def test_target_is_the_combinedt_estimate_with_the_exponents_that_are_reported():
    neighbors, cells, types = blobs(seed=3)
    codes = given_types(types, 0.3)
    found = guide(neighbors, cells, codes, 4, 0)
    told, linear = _guidance.estimates(spread(transition_matrix(neighbors), one_hot(codes, 4)), cells, codes)
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


def test_same_seed_same_guidance():
    neighbors, cells, types = blobs(seed=3)
    codes = given_types(types, 0.3)
    first, second = (guide(neighbors, cells, codes, 4, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.target, second.target)
    assert first.target.dtype == np.float32
    other = guide(neighbors, cells, codes, 4, seed=6)
    assert other.calibration["temperature"] != first.calibration["temperature"]


def coverage_by_loop(arriving, codes, predicted):
    """The definition, cell by cell and type by type, in at most 20 rounds."""
    n_cells, n_types = arriving.shape
    counted = [True] * n_cells
    for _ in range(20):
        rate = []
        for j in range(n_types):
            n_labeled = sum(code == j for code in codes)
            n_alike = sum(counts and code == j for counts, code in zip(counted, predicted, strict=True))
            rate.append(min(n_labeled / max(n_alike, 1) if n_labeled else 1, np.mean(codes >= 0)))
        reach = [
            sum((arriving[i, j] - 0.1 * (codes[i] == j)) / (0.9 * rate[j]) for j in range(n_types))
            for i in range(n_cells)
        ]
        now = [codes[i] >= 0 or reach[i] >= 0.4 for i in range(n_cells)]
        if now == counted:
            break
        counted = now
    return reach, [rate[j] for j in predicted]


@given(seed=st.integers(0, 2**31), labelled=st.floats(0.1, 1))
def test_coverage_is_its_definition(seed, labelled):
    """On chains of cells in pieces, some without a label; a type of one cell."""
    rng = np.random.default_rng(seed)
    n_cells = 40
    neighbors = np.minimum(np.arange(n_cells) + rng.integers(1, 3, n_cells), n_cells - 1)[:, None]
    codes = np.where(rng.random(n_cells) < labelled, rng.integers(0, 5, n_cells), -1)
    codes[0], codes[20:30] = 5, -1
    predicted = np.where(codes >= 0, codes, rng.integers(0, 5, n_cells))
    arriving = spread(transition_matrix(neighbors), one_hot(codes, 6))
    reach, rate = coverage(arriving, codes, predicted)
    expected_reach, expected_rate = coverage_by_loop(arriving, codes, predicted)
    np.testing.assert_allclose(reach, expected_reach, atol=1e-12)
    np.testing.assert_allclose(rate, expected_rate)


def test_guesses_are_spread_shares_and_scikit_learns_classifier_above_a_floor():
    """Two types, both guesses: probabilities p become (p + 1e-4) / (1 + 2e-4); nothing arrived is as likely as anything."""
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(50, 3))
    codes = np.where(np.arange(50) < 20, np.arange(50) % 2, -1)
    cells[:20:2, 0] += 1
    arriving = rng.random((50, 2))
    arriving[3:6] = 0
    told, linear = _guidance.estimates(arriving, cells, codes)
    share = np.full((50, 2), 0.5)
    some = np.setdiff1d(np.arange(50), [3, 4, 5])
    share[some] = [[a / (a + b), b / (a + b)] for a, b in arriving[some]]
    np.testing.assert_allclose(told, (share + 1e-4) / (1 + 2e-4))
    fitted = LogisticRegression(C=16 / 20, max_iter=5000, tol=1e-8).fit(cells[:20], codes[:20]).predict_proba(cells)
    np.testing.assert_allclose(linear, (fitted + 1e-4) / (1 + 2e-4), atol=1e-3)


def test_classifier_is_sure_of_the_only_type_with_labels():
    _, linear = _guidance.estimates(np.ones((4, 3)), np.zeros((4, 2)), np.array([1, 1, -1, -1]))
    np.testing.assert_allclose(linear, np.tile(np.array([1e-4, 1 + 1e-4, 1e-4]) / (1 + 3e-4), (4, 1)))


def test_with_fewer_than_twenty_held_back_cells_both_guesses_count_the_same():
    guessed = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 20))
    truth = np.zeros(20, dtype=int)
    for few, cells in ((None, truth[:0]), (guessed[:, :19], truth[:19])):
        exponents, calibration = calibrate(few, cells)
        np.testing.assert_array_equal(exponents, [0.5, 0.5])
        reason = f"{len(cells)} labelled cells could be held back, fewer than 20: both guesses count the same"
        assert calibration == {"temperature": 1, "spread_weight": 0.5, "reason": reason}
    calibration = calibrate(guessed, truth)[1]
    assert "on 20 labelled cells, held back a fifth at a time" in calibration["reason"]
    assert calibration["temperature"] != 1


@pytest.mark.parametrize("n_cells", [25, 200])
def test_exponents_maximise_likelihood_and_prior(n_cells):
    """No others on a fine grid are better: log-likelihood less ten times the squared distance of both from 1/2."""
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(3), size=n_cells)
    truth = np.array([rng.choice(3, p=p) for p in honest])
    guessed = np.stack([honest**2, rng.dirichlet(np.ones(3), size=n_cells)])
    guessed /= guessed.sum(axis=2, keepdims=True)
    a, b = np.meshgrid(np.linspace(0.01, 1.5, 200), np.linspace(0.01, 1.5, 200), indexing="ij")
    joined = guessed[0] ** a[..., None, None] * guessed[1] ** b[..., None, None]
    likelihood = np.log((joined / joined.sum(axis=-1, keepdims=True))[..., np.arange(n_cells), truth]).sum(axis=-1)
    best = (likelihood - 10 * ((a - 0.5) ** 2 + (b - 0.5) ** 2)).argmax()
    exponents, calibration = calibrate(guessed, truth)
    np.testing.assert_allclose(exponents, [a.flat[best], b.flat[best]], atol=0.01)
    assert calibration["temperature"] == pytest.approx(1 / exponents.sum())
    assert calibration["spread_weight"] == pytest.approx(exponents[0] / exponents.sum())


def test_guesses_that_are_wrong_are_left_out_and_never_turned_round():
    truth = np.arange(300) % 3
    wrong = np.full((300, 3), 0.45)
    wrong[np.arange(300), truth] = 0.1
    right = np.full((300, 3), 0.2)
    right[np.arange(300), truth] = 0.6
    exponents, _ = calibrate(np.stack([wrong, right]), truth)
    assert 0 < exponents[0] < 0.02
    assert exponents[1] > 1


@given(seed=st.integers(0, 2**31), n_cells=st.integers(1, 60), highest=st.floats(0.05, 1))
def test_reliability_is_that_of_ten_bins(seed, n_cells, highest):
    rng = np.random.default_rng(seed)
    confidence, correct = highest * rng.random(n_cells), rng.random(n_cells) < 0.7
    found = reliability(confidence, correct)
    inside = [(confidence >= low / 10) & (confidence < (low + 1) / 10) for low in range(10)]
    inside = [cells for cells in inside if cells.any()]
    np.testing.assert_allclose(found["confidence"], [confidence[cells].mean() for cells in inside])
    np.testing.assert_allclose(found["accuracy"], [correct[cells].mean() for cells in inside])
    np.testing.assert_array_equal(found["n_cells"], [cells.sum() for cells in inside])
    gaps = [abs(confidence[cells].mean() - correct[cells].mean()) * cells.mean() for cells in inside]
    assert found["ece"] == pytest.approx(sum(gaps))


def test_groups_are_connected_unreached_cells_that_would_hold_three_labels():
    """Four groups; where one cell in eight is labelled, 24 cells are enough and 16 are not. The largest is the first."""
    sizes = [24, 16, 40, 30]
    member = np.repeat(np.arange(4), sizes)
    graph = sparse.csr_matrix((member[:, None] == member).astype(float))
    reach = np.array([0.1, 0.0, 0.39, 0.4])[member]  # labels reach the last group just well enough
    found = unreached_groups(graph, reach, np.full(len(member), 0.125))
    np.testing.assert_array_equal(found, np.array([1, -1, 0, -1])[member])


def test_fifths_without_cells_are_left_out():
    folds = _guidance._folds(np.array([0, 0, 1, -1]), 2, 0)
    assert 1 <= len(folds) <= 2
    assert all(fold.any() for fold in folds)
