import numpy as np

import scx


def test_is_the_map_of_its_plane():
    adata = scx.datasets.polynomial_manifold(3)
    x, y = adata.obsm["X_plane"].astype(np.float64).T
    monomials = np.stack([x + y, x - y, x * y, x**2, y**2, x * x * y, x * y * y, x**3, y**3], axis=1)
    np.testing.assert_allclose(adata.X, monomials / np.abs(monomials).max(axis=0), atol=1e-5)
    assert adata.shape == (2200, 9)
    assert adata.obs["group"].value_counts()[["large", "small 1", "small 5", "outlier"]].tolist() == [
        1000,
        200,
        200,
        200,
    ]


def test_seed_gives_the_points_and_spares_the_global_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (scx.datasets.polynomial_manifold(seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
