"""Scores and p-values of new cells against computations by hand, and against what they promise."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import kstest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from scx._clustering import outliers
from scx._clustering.outliers import Neighborhood, fit_outliers

K = outliers.N_NEIGHBORS


def groups(n, seed, n_genes=40, n_groups=4):
    """Return cells of groups around fixed centers."""
    centers = np.random.default_rng(99).normal(size=(n_groups + 1, n_genes)) * 2
    rng = np.random.default_rng(seed)
    values = centers[rng.integers(n_groups, size=n)] + rng.normal(size=(n, n_genes))
    new = centers[n_groups] + rng.normal(size=(n, n_genes))
    return values.astype(np.float32), new.astype(np.float32)


def fit(values, seed=0):
    return fit_outliers(values[:, :8], lambda rows: values[rows], seed)


def p_values(fitted, values):
    score = fitted.score(values[:, :8], (values - fitted.center) @ fitted.components)
    return score, fitted.p_value(score)


def test_remoteness_is_the_distance_to_neighbours_over_the_root_of_their_spacing():
    points, new = groups(80, 0)
    fitted = Neighborhood.fit(points)
    own = np.sort(cdist(points, points), axis=1)[:, 1 : K + 1].mean(axis=1)
    np.testing.assert_allclose(fitted.spacing, own, rtol=1e-5)
    distances = cdist(new, points)
    nearest = np.argsort(distances, axis=1)[:, :K]
    d = np.take_along_axis(distances, nearest, axis=1).mean(axis=1)
    np.testing.assert_allclose(fitted.remoteness(new), np.log(d / np.sqrt(own[nearest].mean(axis=1))), rtol=1e-5)
    among = cdist(points, points)
    np.fill_diagonal(among, np.inf)
    others = np.argsort(among, axis=1)[:, :K]
    d = np.take_along_axis(among, others, axis=1).mean(axis=1)
    np.testing.assert_allclose(fitted.remoteness(), np.log(d / np.sqrt(own[others].mean(axis=1))), rtol=1e-5)


def test_scores_of_held_back_cells_come_from_components_without_them():
    values, _ = groups(60, 1)
    fitted = fit(values)
    rng = np.random.default_rng(0)
    rng.permutation(60)
    fold = rng.permutation(np.arange(60) % 5)
    expressed = np.empty(60)
    for number in range(5):
        known, out = values[fold != number], values[fold == number]
        pca = PCA(20, random_state=0).fit(known)
        expressed[fold == number] = Neighborhood.fit(pca.transform(known)).remoteness(pca.transform(out))
    both = np.stack([Neighborhood.fit(values[:, :8]).remoteness(), expressed], axis=1)
    scores = ((both - both.mean(axis=0)) / both.std(axis=0)).mean(axis=1)
    np.testing.assert_allclose(fitted.held_back, np.sort(scores), rtol=1e-2, atol=1e-3)


def test_p_value_is_the_share_of_held_back_cells_that_are_as_remote():
    fitted = fit(groups(60, 1)[0])
    held_back = fitted.held_back
    assert fitted.p_value(np.array([np.inf]))[0] == pytest.approx(1 / 61)
    assert fitted.p_value(np.array([-np.inf]))[0] == 1
    assert fitted.p_value(held_back[[30]])[0] == pytest.approx((1 + (held_back >= held_back[30]).sum()) / 61)


def test_p_values_of_cells_like_those_of_training_are_uniform():
    known, _ = groups(1000, 2)
    score, p = p_values(fit(known), groups(1000, 3)[0])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert kstest(p, "uniform").statistic < 0.06
    again, _ = p_values(fit(known), groups(1000, 3)[0])
    np.testing.assert_array_equal(score, again)


def test_cells_of_another_group_are_found():
    known, _ = groups(500, 4)
    fitted = fit(known)
    like, unlike = groups(200, 5)
    scores = [p_values(fitted, cells)[0] for cells in (like, unlike)]
    assert roc_auc_score(np.repeat([0, 1], 200), np.concatenate(scores)) > 0.99
    assert (p_values(fitted, unlike)[1] < 0.05).mean() > 0.95


@pytest.mark.parametrize("n_cells", [10, 12])
def test_few_cells_and_equal_cells(n_cells):
    values = np.repeat(groups(n_cells, 6)[0], 3, axis=0)
    for cells in (values[::3], values, np.ones_like(values)):
        fitted = fit(cells)
        assert np.isfinite(fitted.held_back).all()
        score, p = p_values(fitted, groups(7, 7)[1])
        assert np.isfinite(score).all()
        assert ((p > 0) & (p <= 1)).all()


def test_large_references_are_sampled(monkeypatch):
    monkeypatch.setattr(outliers, "MAX_CELLS", 100)
    values, _ = groups(300, 8)
    seen = []
    fitted = fit_outliers(values[:, :8], lambda rows: seen.append(rows) or values[rows], 0)
    (rows,) = seen
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(fitted.embedded.points, values[rows][:, :8])
