"""Counts are told from what is made of them, on real data and whatever ambient correction leaves."""

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import scx
from scx._workflow.counts import check_counts


def normalised(adata, target=None):
    return sc.pp.normalize_total(adata, target_sum=target, copy=True).X


def variable(adata):
    """Normalised over all genes, and then the half of genes with the highest totals."""
    totals = np.asarray(adata.X.sum(axis=0)).ravel()
    return normalised(adata)[:, totals >= np.median(totals)]


MADE_OF_COUNTS = {
    "normalised": normalised,
    "CPM": lambda adata: normalised(adata, 1e6),
    "proportions": lambda adata: normalised(adata, 1),
    "normalised, some genes": variable,
    "log1p": lambda adata: normalised(adata, 1e4).log1p(),
    "log1p of counts": lambda adata: adata.X.log1p(),
    "log2 of counts": lambda adata: adata.X.log1p() / np.log(2),
    "log2 of CPM": lambda adata: normalised(adata, 1e6).log1p() / np.log(2),
    "square root of counts": lambda adata: adata.X.sqrt(),
    "square root of normalised": lambda adata: normalised(adata, 1e6).sqrt(),
    "scaled": lambda adata: sparse.csr_matrix(sc.pp.scale(adata.X.log1p().toarray())),
}


def corrected(adata, kind, seed=0):
    """Return counts less what a correction for ambient RNA takes away."""
    rng = np.random.default_rng(seed)
    matrix = adata.X.copy().astype(np.float32)
    match kind:
        case "a share of each count":
            matrix.data *= rng.uniform(0.6, 1, matrix.nnz).astype(np.float32)
        case "one share":
            matrix.data *= np.float32(0.9)
        case "a share of each cell":
            matrix.data *= np.repeat(rng.uniform(0.7, 1, len(adata)), np.diff(matrix.indptr)).astype(np.float32)
        case "a part of some":
            matrix.data[::3] -= np.float32(0.3)
    return matrix


def check(matrix):
    matrix = sparse.csr_matrix(matrix, dtype=np.float32)
    check_counts(matrix, ad.AnnData(matrix), None)


def assert_counts_are_told(adata):
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    adata = adata[adata.X.getnnz(axis=1) > 0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(adata.X)
    for make in MADE_OF_COUNTS.values():
        with pytest.raises(ValueError, match="looks"):
            check(make(adata))
    for kind in ("a share of each count", "one share", "a share of each cell", "a part of some"):
        with pytest.warns(UserWarning, match="fractional values"):
            check(corrected(adata, kind))


@pytest.mark.parametrize("kind", MADE_OF_COUNTS)
def test_what_is_made_of_counts_is_refused(pbmc, kind):
    with pytest.raises(ValueError, match=r"looks .*raw counts are needed"):
        check(MADE_OF_COUNTS[kind](pbmc))


@pytest.mark.parametrize("name", ["pbmc4k", "tang_zebrafish_marrow"])
def test_counts_of_real_data_are_told(real_data, name):
    assert_counts_are_told(real_data(name)[:500].copy())


def test_message_says_what_they_look_like(method, pbmc):
    sc.pp.normalize_total(pbmc)
    with pytest.raises(ValueError, match=r"`adata.X` looks normalised \(.*the same total\); raw counts are needed"):
        method.function(pbmc)


def test_counts_in_raw_are_pointed_at(method, pbmc):
    pbmc.raw = pbmc.copy()
    sc.pp.normalize_total(pbmc)
    adata = pbmc[:, :200].copy()
    line = 'adata.layers["counts"] = adata.raw[:, adata.var_names].X'
    with pytest.raises(ValueError, match=r"`adata.raw` holds whole numbers") as error:
        method.function(adata)
    assert f"`{line}`" in str(error.value)
    exec(line, {"adata": adata})
    method.run(adata, layer="counts", max_epochs=1)
    del adata.layers["counts"]
    adata.var_names = [f"{name}-x" for name in adata.var_names]
    with pytest.raises(ValueError, match=r"pass `adata.raw.to_adata\(\)`"):
        method.function(adata)


def test_mudata_is_told_to_pass_a_modality(method, pbmc):
    class MuData:
        mod = {"rna": pbmc, "prot": pbmc}  # noqa: RUF012

    with pytest.raises(TypeError, match=r'got a MuData.*`mdata\["rna"\]`; it has mdata\[\'rna\'\], mdata\[\'prot\'\]'):
        method.function(MuData())
    with pytest.raises(TypeError, match="got a MuData"):
        scx.tl.cluster(MuData(), use_rep="X_pca")
