import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import torch

from batches import batch_of
from scx.model._core.normalize import LogNormalize


def fitted(counts, size_factors, max_value, n_batches):
    layer = LogNormalize(counts.shape[1], max_value)
    parts = zip(np.array_split(counts, n_batches), np.array_split(size_factors, n_batches), strict=True)
    layer.fit(size_factors, (batch_of(torch.tensor(x), torch.tensor(s)[:, None]) for x, s in parts))
    return layer


@pytest.mark.parametrize("max_value", [None, 3.0])
@pytest.mark.parametrize("n_batches", [1, 7])
def test_equals_scanpy(pbmc, max_value, n_batches):
    counts = pbmc.X.toarray()
    size_factors = counts.sum(axis=1)
    layer = fitted(counts, size_factors, max_value, n_batches)
    ours = layer(torch.tensor(counts), torch.tensor(size_factors)[:, None]).numpy()
    reference = ad.AnnData(counts.astype(np.float64))
    sc.pp.normalize_total(reference)
    sc.pp.log1p(reference)
    sc.pp.scale(reference, max_value=max_value)
    np.testing.assert_allclose(ours, reference.X, atol=2e-4)


def test_size_factors_come_from_outside(pbmc):
    """With totals over all genes the values of a few genes equal those cut out of the whole matrix."""
    counts = pbmc.X.toarray()
    size_factors = counts.sum(axis=1)
    whole = fitted(counts, size_factors, None, 1)(torch.tensor(counts), torch.tensor(size_factors)[:, None])
    part = fitted(counts[:, :50], size_factors, None, 1)(
        torch.tensor(counts[:, :50]), torch.tensor(size_factors)[:, None]
    )
    torch.testing.assert_close(part, whole[:, :50])


def test_only_ratios_of_size_factors_matter(pbmc):
    counts = pbmc.X.toarray()
    size_factors = counts.sum(axis=1)
    reference = fitted(counts, size_factors, None, 1)(torch.tensor(counts), torch.tensor(size_factors)[:, None])
    scaled = size_factors / np.median(size_factors)
    ours = fitted(counts, scaled, None, 1)(torch.tensor(counts), torch.tensor(scaled)[:, None])
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)


def test_constant_genes_and_empty_cells_stay_finite():
    counts = np.array([[1, 2, 0], [2, 4, 0], [0, 0, 0]], dtype=np.float32)
    layer = fitted(counts[:2], counts[:2].sum(axis=1), None, 1)
    out = layer(torch.tensor(counts), torch.tensor(counts.sum(axis=1))[:, None])
    assert torch.isfinite(out).all()
    assert (out[:, 2] == 0).all()


def test_statistics_are_saved():
    layer = fitted(np.random.default_rng(0).poisson(3.0, (20, 4)).astype(np.float32), np.arange(1.0, 21), None, 1)
    other = LogNormalize(4)
    other.load_state_dict(layer.state_dict())
    x, s = torch.ones(2, 4), torch.ones(2, 1)
    assert torch.equal(other(x, s), layer(x, s))
    assert {"median", "mean", "std"} == set(layer.state_dict())
