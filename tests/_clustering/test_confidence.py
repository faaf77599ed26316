import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scx._clustering import arrays
from scx._clustering.confidence import is_constant, posterior


def test_confidence_is_the_posterior_of_student_t(blobs):
    embedding, truth = blobs
    confidence = posterior(embedding, truth)
    scale = np.sum((embedding - embedding.mean(axis=0)) ** 2) / len(embedding) / 4
    means = np.stack([embedding[truth == k].mean(axis=0) for k in range(5)])
    for cell in (0, 17, 333):
        # scipy's density with three degrees of freedom in one dimension falls as (1 + d² / s²) to the power of −2
        densities = stats.t.pdf(np.linalg.norm(means - embedding[cell], axis=1), df=3, scale=np.sqrt(scale / 3))
        assert confidence[cell] == pytest.approx(densities[truth[cell]] / densities.sum(), rel=1e-5)


def test_confidence_at_the_edges():
    line = np.array([[0.0], [1.0], [4.0], [9.0], [10.0], [4.5]])
    confidence = posterior(line, np.array([0, 0, 0, 1, 1, 1]))
    assert confidence[2] < confidence[1]
    assert confidence[5] < 0.5  # nearer to the other mean
    # nothing is told apart
    assert (posterior(line, np.zeros(6, dtype=int)) == 0.5).all()
    assert (posterior(np.ones((4, 2)), np.array([0, 0, 1, 1])) == 0.5).all()


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5), seed=st.integers(0, 50))
def test_confidence_knows_no_units_and_no_origin(scale, shift, seed):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 3, 27), [0, 1, 2])
    embedding = rng.normal(size=(30, 4)) + labels[:, None]
    expected = posterior(embedding, labels)
    np.testing.assert_allclose(posterior(embedding * scale + shift * scale, labels), expected, rtol=1e-4)


def test_chunks_do_not_change_confidence(blobs, monkeypatch):
    embedding, truth = blobs
    expected = posterior(embedding, truth)
    monkeypatch.setattr(arrays, "CHUNK", 100)
    np.testing.assert_allclose(posterior(embedding, truth), expected, rtol=1e-5)


def test_confidence_of_cells_that_do_not_differ_is_that_of_chance():
    cells = np.full((20, 2), 0.1) + np.array([1e3, -1e3])
    confidence = posterior(cells, np.arange(20) % 4)
    assert confidence.dtype == np.float32
    np.testing.assert_array_equal(confidence, np.full(20, 0.25))
    differ = cells + 1e-3 * np.random.default_rng(0).normal(size=cells.shape)
    confidence = posterior(differ, np.arange(20) % 4)
    assert confidence.dtype == np.float32
    assert len(np.unique(confidence)) > 10


def test_confidence_does_not_depend_on_where_the_origin_is(blobs):
    embedding, truth = blobs
    confidence = posterior(embedding, truth)
    np.testing.assert_allclose(posterior(1e-6 * embedding + 1000, truth), confidence, rtol=1e-3)


def test_cells_that_differ_by_rounding_only_are_constant():
    """64 units in the last place: a part in 130,000 in single precision, and in 7 · 10¹³ in
    double.
    """
    for dtype, small, large in ((np.float32, 7e-6, 1e-5), (np.float64, 1.3e-14, 2e-14)):
        for size in (-3.0, 1e4):
            cells = np.tile(np.array([size, size / 2, 0.0]), (5, 1))
            assert is_constant(cells.astype(dtype))
            cells[1, 0] *= 1 + small
            assert is_constant(cells.astype(dtype))
            cells[1, 0] = size * (1 + large)
            assert not is_constant(cells.astype(dtype))
    assert is_constant(np.zeros((3, 2)))
