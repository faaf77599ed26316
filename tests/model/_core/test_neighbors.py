import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import scx
from scx.model._core import neighbors as _neighbors
from scx.model._core.source import CellSource


def test_neighbors_are_those_of_scikit_learn(pbmc):
    counts = pbmc.X
    totals = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    found = _neighbors.nearest_neighbors(CellSource(AnnData(counts)), totals, 5, seed=0)
    logged = np.log1p(counts.toarray().astype(np.float64) / totals[:, None] * np.median(totals))
    components = PCA(_neighbors.N_COMPONENTS, svd_solver="full").fit_transform(logged)
    exact = NearestNeighbors(n_neighbors=6).fit(components).kneighbors(return_distance=False)[:, :5]
    assert found.shape == (pbmc.n_obs, 5)
    overlap = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, exact, strict=True)])
    assert overlap > 0.99
    assert (found != np.arange(pbmc.n_obs)[:, None]).all()


def test_few_cells_have_few_neighbors():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, (8, 12)).astype(np.float32))
    found = _neighbors.nearest_neighbors(CellSource(AnnData(counts)), np.ones(8), 15, seed=0)
    assert [sorted(row) for row in found] == [[j for j in range(8) if j != i] for i in range(8)]


@pytest.mark.slow
def test_approximate_search_finds_nearly_the_same(pbmc, monkeypatch):
    totals = np.asarray(pbmc.X.sum(axis=1)).ravel().astype(np.float64)
    exact = _neighbors.nearest_neighbors(CellSource(pbmc), totals, 5, seed=0)
    monkeypatch.setattr(_neighbors, "MAX_EXACT", 0)
    found = _neighbors.nearest_neighbors(CellSource(pbmc), totals, 5, seed=0)
    assert found.shape == exact.shape
    assert found.dtype == exact.dtype
    assert (found != np.arange(pbmc.n_obs)[:, None]).all()
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, exact, strict=True)]) > 0.95


def balanced(points, batches, k):
    """Neighbours in the own batch, and in each other batch where most neighbours in the own one have a mutual one."""
    points = points.astype(np.float64)
    for batch in np.unique(batches):
        points[batches == batch] -= points[batches == batch].mean(axis=0)

    def near(cell, batch):
        others = [j for j in np.flatnonzero(batches == batch) if j != cell] or [cell]
        return (sorted(others, key=lambda j: np.linalg.norm(points[j] - points[cell]))[:k] * k)[:k]

    def has_mutual(cell, batch):
        return any(cell in near(j, batches[cell]) for j in near(cell, batch))

    rows = []
    for cell, own in enumerate(batches):
        row = []
        for batch in np.unique(batches):
            has_type = np.mean([has_mutual(j, batch) for j in near(cell, own)]) >= 0.5
            share = int(np.ceil(k * np.mean(batches == batch)))
            row += near(cell, batch if has_type or batch == own else own)[:share]
        rows.append(row)
    return rows


@pytest.mark.parametrize("sizes", [[20, 15, 12], [25, 10, 3], [20, 1]], ids=str)
def test_neighbors_in_every_batch(sizes):
    """Also with batches of fewer cells than neighbours, and of one."""
    rng = np.random.default_rng(0)
    batches = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = rng.normal(size=(len(batches), 3)) + 5 * batches[:, None]
    before = points.copy()
    found = _neighbors.in_every_batch(points, batches, 4, seed=0)
    assert found.tolist() == balanced(points, batches, 4)
    np.testing.assert_array_equal(points, before)


def test_a_type_of_one_batch_has_neighbors_in_this_batch_only():
    rng = np.random.default_rng(0)
    kinds, batches = np.repeat([0, 1, 2, 0, 1], 40), np.repeat([0, 1], [120, 80])
    points = 10 * np.eye(3)[kinds] + rng.normal(size=(200, 3)) + np.where(batches, 3.0, 0.0)[:, None]
    found = _neighbors.in_every_batch(points, batches, 10, seed=0)
    assert (batches[found[kinds == 2]] == 0).all()
    assert (batches[found[(kinds != 2) & (batches == 0)]] == 1).mean() > 0.1
    assert (kinds[found] == kinds[:, None]).mean() > 0.99


def test_a_batch_of_few_cells_is_named(pbmc):
    pbmc.obs["sample"] = np.where(np.arange(pbmc.n_obs) < 3, "few", "many")
    with pytest.warns(UserWarning, match="`batch_key`: batch 'few' has 3 cells, .* 15 nearest neighbours"):
        scx.tl.contrastive(pbmc, 4, batch_key="sample", max_epochs=1, n_top_genes=100)
    assert np.isfinite(pbmc.obsm["X_contrastive"]).all()
