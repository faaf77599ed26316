"""Cells come as they are stored, in the order asked for, and are not copied needlessly."""

import anndata as ad
import numpy as np
import pytest
import torch

from scx.model._core.source import CellSource, row_numbers


@pytest.mark.parametrize("storage", ["csr", "csc", "dense", "backed csr", "backed dense"])
def test_rows_come_in_the_order_asked_for(pbmc, tmp_path, storage):
    dense = pbmc.X.toarray()
    pbmc.X = dense if "dense" in storage else pbmc.X.tocsc() if storage == "csc" else pbmc.X
    if "backed" in storage:
        pbmc.write_h5ad(tmp_path / "cells.h5ad")
        pbmc = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    columns, rows = np.array([7, 3, 300]), np.array([250, 3, 3, 17])
    batch = CellSource(pbmc, columns)[rows]
    np.testing.assert_array_equal(batch.x.numpy(), dense[rows][:, columns])
    np.testing.assert_array_equal(batch.rows.numpy(), rows)
    np.testing.assert_array_equal(batch.size_factor.numpy()[:, 0], dense[rows][:, columns].sum(axis=1))
    if "backed" in storage:
        pbmc.file.close()


def test_size_factors_are_given_or_summed_over_more_genes_than_the_model_has(pbmc):
    dense = pbmc.X.toarray()
    counted = np.arange(pbmc.n_vars) % 2 == 0
    summed = CellSource(pbmc, np.array([1, 3]), size_factor_columns=counted)
    np.testing.assert_allclose(summed[np.arange(9)].size_factor.numpy()[:, 0], dense[:9, counted].sum(axis=1))
    given = np.linspace(1, 2, pbmc.n_obs, dtype=np.float32)
    source = CellSource(pbmc, np.array([1, 3]), size_factors=given)
    np.testing.assert_array_equal(source[np.array([4, 2])].size_factor.numpy()[:, 0], given[[4, 2]])


def test_batches_are_of_nearly_equal_size(pbmc):
    batches = list(CellSource(pbmc).batches(batch_size=110))
    assert [len(batch.x) for batch in batches] == [100, 100, 100]
    assert torch.cat([batch.rows for batch in batches]).tolist() == list(range(300))


def test_the_matrix_of_all_cells_is_not_copied(pbmc):
    assert np.shares_memory(CellSource(pbmc).matrix().data, pbmc.X.data)
    columns = np.array([5, 2])
    np.testing.assert_array_equal(CellSource(pbmc, columns).matrix().toarray(), pbmc.X[:, columns].toarray())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_cannot_be_counts(pbmc, value):
    pbmc.X.data[0] = value
    with pytest.raises(ValueError, match=r"`adata.X` holds"):
        list(CellSource(pbmc).batches())
    if value == -1:
        list(CellSource(pbmc, are_counts=False).batches())


def test_row_numbers():
    np.testing.assert_array_equal(row_numbers([2, -1, 0], 5), [2, 4, 0])
    np.testing.assert_array_equal(row_numbers(np.array([True, False, True]), 3), [0, 2])
