from itertools import islice

import numpy as np
import pytest
from scipy import sparse

from scx._clustering.components import (
    STANDARD,
    Expression,
    Place,
    View,
    alone_or_together,
    principal_components,
    side_by_side,
    views,
)


@pytest.fixture
def counts():
    return sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, size=(60, 80)).astype(np.float32))


def test_random_views_follow_the_standard_ones():
    found = list(islice(views(np.random.default_rng(0)), 9))
    assert tuple(found[:3]) == STANDARD
    drawn = found[3:]
    assert len(set(drawn)) == 6
    assert all(0.3 <= view.share <= 0.8 and 10 <= view.n_comps <= 50 for view in drawn)
    assert found == list(islice(views(np.random.default_rng(0)), 9))


def components(view, counts, factors, seed):
    return principal_components(view, Expression.fit(counts, factors)[0], seed)[0]


def test_a_view_takes_the_first_genes(counts):
    factors = np.asarray(counts.sum(axis=1)).ravel()
    first = components(View(30, 5), counts, factors, 0)
    assert first.shape == (60, 5)
    np.testing.assert_allclose(first, components(View(99, 5), counts[:, :30], factors, 0), atol=1e-5)


def test_a_random_view_depends_on_the_seed(counts):
    factors = np.asarray(counts.sum(axis=1)).ravel()
    view = View(80, 5, 0.5)
    first, again, second = (components(view, counts, factors, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(np.abs(first), np.abs(second), atol=0.1)


def test_no_more_components_than_cells_or_genes(counts):
    assert components(View(10, 50), counts, np.ones(60), 0).shape == (60, 9)
    assert components(View(80, 50), counts[:20], np.ones(20), 0).shape == (20, 19)


def test_new_cells_get_the_components_of_training(counts):
    """Cells of training, one of which has no counts, and a cell with the mean expression."""
    counts = sparse.csr_matrix(counts.multiply(np.arange(60)[:, None] != 7))
    factors = np.asarray(counts.sum(axis=1)).ravel()
    values, expression = Expression.fit(counts, factors)
    points, fitted = principal_components(View(80, 6, 0.5), values, 0)
    new = expression.of(counts.toarray(), factors)
    np.testing.assert_allclose(new, values.toarray(), atol=1e-5)
    np.testing.assert_allclose(fitted.of(new), points, atol=1e-4)
    average = expression.of(expression.average[None] * 123, np.array([123], dtype=np.float32))
    np.testing.assert_allclose(fitted.of(average), 0, atol=1e-5)


def test_side_by_side_gives_each_embedding_the_same_weight():
    rng = np.random.default_rng(0)
    found = {"a": rng.normal(5, 3, size=(40, 2)), "b": rng.normal(-1, 0.1, size=(40, 7)), "c": np.ones((40, 2))}
    found = {name: points.astype(np.float32) for name, points in found.items()}
    places = {name: Place.fit(points) for name, points in found.items()}
    joint = side_by_side(found, places, ["b", "a"])
    assert joint.shape == (40, 9)
    np.testing.assert_allclose(joint.mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(joint[:, :7]) == pytest.approx(1, rel=1e-5)
    assert np.linalg.norm(joint[:, 7:]) == pytest.approx(1, rel=1e-5)
    assert not side_by_side(found, places, ["c"]).any()
    assert alone_or_together(found, places, ["a"]) is found["a"]
    np.testing.assert_array_equal(alone_or_together(found, places, ["b", "a"]), joint)
