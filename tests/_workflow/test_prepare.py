import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from scx._compat import MASK_VAR_DEFAULT
from scx._matrix import log_normalized, read_counts
from scx._workflow.keys import SIZE_FACTOR
from scx._workflow.prepare import prepare, resolve_mask_var


def test_selects_the_genes_that_scanpy_selects(pbmc):
    working = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=120, min_cells=1).adata
    reference = pbmc.copy()
    sc.pp.filter_genes(reference, min_cells=1)
    sc.pp.normalize_total(reference)
    sc.pp.log1p(reference)
    sc.pp.highly_variable_genes(reference, n_top_genes=120)
    assert set(working.var_names) == set(reference.var_names[reference.var["highly_variable"]])
    np.testing.assert_array_equal(working.X.toarray(), pbmc[:, working.var_names].X.toarray())


def test_size_factors_are_over_all_genes(pbmc):
    working = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=50, min_cells=1).adata
    np.testing.assert_allclose(working.obs[SIZE_FACTOR], pbmc.X.toarray().astype(np.float64).sum(axis=1))


def test_rare_genes_are_dropped_first(pbmc):
    working = prepare(
        pbmc.X, pbmc, layer=None, mask_var=np.ones(pbmc.n_vars, dtype=bool), n_top_genes=0, min_cells=20
    ).adata
    common = (pbmc.X.toarray() > 0).sum(axis=0) >= 20
    assert list(working.var_names) == list(pbmc.var_names[common])
    np.testing.assert_allclose(working.obs[SIZE_FACTOR], pbmc.X.toarray()[:, common].sum(axis=1))


def test_log_normalized_is_that_of_scanpy(pbmc):
    totals = np.asarray(pbmc.X.sum(axis=1)).ravel()
    before = pbmc.X.copy()
    ours = log_normalized(pbmc.X, totals)
    assert (before != pbmc.X).nnz == 0
    sc.pp.normalize_total(pbmc)
    sc.pp.log1p(pbmc)
    np.testing.assert_allclose(ours.toarray(), pbmc.X.toarray(), rtol=1e-5)


def test_mask_var(pbmc):
    flagged = np.arange(pbmc.n_vars) % 3 == 0
    assert resolve_mask_var(pbmc, MASK_VAR_DEFAULT, None, use_flagged=True) is None
    pbmc.var["highly_variable"] = flagged
    pbmc.var["mine"] = ~flagged
    np.testing.assert_array_equal(resolve_mask_var(pbmc, MASK_VAR_DEFAULT, None, use_flagged=True), flagged)
    assert resolve_mask_var(pbmc, MASK_VAR_DEFAULT, None, use_flagged=False) is None
    assert resolve_mask_var(pbmc, MASK_VAR_DEFAULT, 100, use_flagged=True) is None  # a number asked for wins
    np.testing.assert_array_equal(resolve_mask_var(pbmc, "mine", None, use_flagged=True), ~flagged)
    np.testing.assert_array_equal(resolve_mask_var(pbmc, flagged, None, use_flagged=False), flagged)
    assert resolve_mask_var(pbmc, None, None, use_flagged=True).all()


@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "int", "view"])
def test_counts_are_read_alike(pbmc, kind):
    other = pbmc.copy()
    match kind:
        case "csc":
            other.X = pbmc.X.tocsc()
        case "dense":
            other.X = pbmc.X.toarray()
        case "int":
            other.X = pbmc.X.astype(np.int32)
        case "view":
            other = ad.concat([pbmc, pbmc], index_unique="-")[: pbmc.n_obs]
    counts = read_counts(other, None)
    assert sparse.issparse(counts)
    assert counts.format == "csr"
    assert counts.dtype == np.float32
    assert counts.has_canonical_format
    np.testing.assert_array_equal(counts.toarray(), pbmc.X.toarray())


def test_working_copy_is_light(pbmc):
    pbmc.obsm["X_pca"] = np.zeros((pbmc.n_obs, 3))
    working = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=50, min_cells=1).adata
    assert list(working.obs) == [SIZE_FACTOR]
    assert not working.obsm
    assert not working.uns
    assert working.obs_names.equals(pbmc.obs_names)


def test_mask_that_is_a_series_is_aligned_by_its_index(pbmc):
    flagged = np.arange(pbmc.n_vars) % 3 == 0
    series = pd.Series(flagged, index=pbmc.var_names)
    for mask in (series, series[::-1], series.astype("boolean").sample(frac=1, random_state=0)):
        np.testing.assert_array_equal(resolve_mask_var(pbmc, mask, None, use_flagged=True), flagged)
    pbmc.var["nullable"] = series.astype("boolean")
    np.testing.assert_array_equal(resolve_mask_var(pbmc, "nullable", None, use_flagged=True), flagged)
    for bad, match in (
        (series[1:], "0 of its names are unknown, 1 are missing"),
        (pd.concat([series, pd.Series([True], index=["extra"])]), "1 of its names are unknown, 0 are missing.*'extra'"),
        (pd.Series(flagged), "name of each gene once; 765 of its names are unknown"),
        (series.astype(object).where(series), "True or False per gene"),
    ):
        with pytest.raises(ValueError, match=match):
            resolve_mask_var(pbmc, bad, None, use_flagged=True)


def test_with_batches_selects_the_genes_that_scanpy_selects(pbmc):
    batches = pd.Series(pd.Categorical(np.where(np.arange(pbmc.n_obs) < 80, "a", "b")), pbmc.obs_names, name="sample")
    data = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=120, min_cells=1, batches=batches)
    reference = pbmc.copy()
    reference.obs["sample"] = batches
    sc.pp.filter_genes(reference, min_cells=1)
    sc.pp.normalize_total(reference)
    sc.pp.log1p(reference)
    sc.pp.highly_variable_genes(reference, n_top_genes=120, batch_key="sample")
    assert set(data.adata.var_names) == set(reference.var_names[reference.var["highly_variable"]])
    without = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=120, min_cells=1)
    assert set(data.adata.var_names) != set(without.adata.var_names)
    assert data.preparation.batch_key == "sample"
    assert data.preparation.batches.tolist() == ["a", "b"]
    np.testing.assert_array_equal(data.adata.obs["sample"], batches)


def test_a_batch_of_few_cells_has_a_say_in_the_genes(pbmc):
    batches = pd.Series(pd.Categorical(np.where(np.arange(pbmc.n_obs) < 3, "few", "b")), pbmc.obs_names, name="sample")
    data = prepare(pbmc.X, pbmc, layer=None, mask_var=None, n_top_genes=120, min_cells=1, batches=batches)
    assert data.adata.n_vars == 120
