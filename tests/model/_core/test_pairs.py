import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import BatchSampler, SequentialSampler

from scx._rng import global_seed
from scx.model._core import neighbors as _neighbors
from scx.model._core.pairs import PairBatches
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


def test_batches_hold_cells_and_then_a_neighbor_of_each():
    neighbors = np.stack([(np.arange(10) + 1) % 10, (np.arange(10) + 2) % 10], axis=1)
    batches = PairBatches(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), neighbors)
    with global_seed(0):
        drawn = [list(batches) for _ in range(50)]
    assert len(batches) == 3
    seen = set()
    for epoch in drawn:
        assert np.concatenate([np.split(batch, 2)[0] for batch in epoch]).tolist() == list(range(10))
        for cells, partners in (np.split(batch, 2) for batch in epoch):
            step = (partners - cells) % 10
            assert np.isin(step, [1, 2]).all()
            seen |= set(step)
    assert seen == {1, 2}  # both neighbours are drawn


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
