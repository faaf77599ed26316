import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

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
