import numpy as np
import pytest
from scipy import stats
from sklearn.mixture import GaussianMixture

from scx._clustering import arrays
from scx._clustering.rules import Mixture, NearestCenter, NeighborVote

POINTS = np.random.default_rng(1).normal(size=(120, 3))


def fitted_rules():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, 3))
    yield NearestCenter(centers)
    yield Mixture(np.array([0.1, 0.5, 0.2, 0.2]), centers, rng.uniform(0.2, 2, (4, 3)))
    yield NeighborVote(rng.normal(size=(90, 3)), rng.integers(0, 4, 90))


@pytest.mark.parametrize("rule", list(fitted_rules()), ids=lambda rule: type(rule).__name__)
def test_points_are_assigned_one_by_one(rule, monkeypatch):
    """Neither chunks nor the order of points matter, nor their precision; no points get no labels."""
    labels = rule.assign(POINTS)
    assert labels.dtype == np.int64
    assert len(np.unique(labels)) == 4
    order = np.random.default_rng(2).permutation(len(POINTS))
    monkeypatch.setattr(arrays, "CHUNK", 17)
    np.testing.assert_array_equal(rule.assign(POINTS[order]), labels[order])
    np.testing.assert_array_equal(rule.assign(POINTS.astype(np.float32)), labels)
    assert rule.assign(POINTS[:0]).shape == (0,)


@pytest.mark.parametrize("shift", [0, 1e7])
def test_nearest_center_is_the_nearest_wherever_the_origin_is(shift):
    centers = np.random.default_rng(0).normal(size=(5, 3))
    expected = np.linalg.norm(POINTS[:, None] - centers, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(NearestCenter(centers + shift).assign(POINTS + shift), expected)


def test_mixture_is_the_component_of_highest_density():
    weights, means = np.array([0.7, 0.1, 0.2]), np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 1]])
    variances = np.array([[2.0, 1, 1], [0.2, 0.5, 1], [1, 0.3, 0.3]])
    laws = [stats.multivariate_normal(means[k], np.diag(variances[k])).logpdf(POINTS) for k in range(3)]
    expected = (np.log(weights)[:, None] + laws).argmax(axis=0)
    np.testing.assert_array_equal(Mixture(weights, means, variances).assign(POINTS), expected)


def test_mixture_is_bit_by_bit_that_of_scikit_learn():
    """Also on the borders between clusters, where rounding decides."""
    fitted = GaussianMixture(6, covariance_type="diag", random_state=0).fit(POINTS)
    rule = Mixture(fitted.weights_, fitted.means_, fitted.covariances_)
    grid = np.random.default_rng(3).uniform(-3, 3, (20_000, 3)).astype(np.float32)
    np.testing.assert_array_equal(rule.assign(grid), fitted.predict(grid))


def test_vote_of_the_fifteen_nearest_and_the_lowest_number_if_votes_are_equal():
    rng = np.random.default_rng(0)
    cells, labels = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
    assigned = NeighborVote(cells, labels).assign(POINTS)
    for point, label in zip(POINTS, assigned, strict=True):
        nearest = np.argsort(np.linalg.norm(cells - point, axis=1))[:15]
        assert label == np.bincount(labels[nearest]).argmax()


def test_fewer_fitted_cells_than_voters_all_vote():
    rule = NeighborVote(POINTS[:5], np.array([2, 1, 1, 2, 1]))
    assert (rule.assign(POINTS) == 1).all()
