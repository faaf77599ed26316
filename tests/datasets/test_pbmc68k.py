import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scx


@pytest.fixture
def shipped():
    return sc.datasets.pbmc68k_reduced()


def test_normalising_the_counts_gives_back_what_scanpy_ships(shipped):
    adata = scx.datasets.pbmc68k_reduced()
    counts = adata.X.toarray().astype(np.float64)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(counts, counts.round())
    assert counts.min() == 0
    normalised = np.log1p(counts * (1e4 / shipped.obs["n_counts"].to_numpy(dtype=np.float64)[:, None]))
    # scanpy's file has three decimals
    np.testing.assert_allclose(normalised, shipped.raw.X.toarray(), rtol=0, atol=5.01e-4)


def test_cells_genes_and_labels_are_the_shipped_ones(shipped):
    adata = scx.datasets.pbmc68k_reduced()
    assert adata.shape == (700, 765)
    assert adata.obs_names.equals(shipped.obs_names)
    assert adata.var_names.equals(shipped.raw.var_names)
    pd.testing.assert_frame_equal(adata.obs[["bulk_labels", "n_counts"]], shipped.obs[["bulk_labels", "n_counts"]])
    assert (adata.obs["n_counts"] >= adata.X.sum(axis=1).A1).all()  # a total over more genes


@pytest.mark.parametrize("value", [0.01, np.nan])
def test_a_changed_file_is_refused(shipped, monkeypatch, value):
    shipped.raw.X.data[0] += value
    monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", lambda: shipped)
    with pytest.raises(RuntimeError, match="cannot be restored"):
        scx.datasets.pbmc68k_reduced()
