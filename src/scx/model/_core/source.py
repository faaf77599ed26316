"""Cells of an AnnData, read in batches: the only way in which models see a matrix."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

from scx._anndata import check_layer, matrix_name

BATCH_SIZE = 4096
"""Cells per batch when nothing is trained."""


@dataclass
class Batch:
    """Cells that a module sees at once.

    Not frozen, because Lightning replaces the tensors when it moves them.
    """

    x: Tensor
    """Counts, shape (n, n_genes)."""
    size_factor: Tensor
    """Size factors, shape (n, 1)."""
    rows: Tensor
    """Row numbers of the cells, shape (n,)."""
    target: Tensor | None = None
    """What a method learns for each cell, shape (n, k); None if it learns no target."""
    batch: Tensor | None = None
    """Number of the batch of each cell, int64, shape (n,), −1 for a batch that the model does not
    know; None if the model was set up without batches, or if the batches of cells are not given."""


class CellSource(Dataset[Batch]):
    """Cells of an AnnData in memory or on disk, with the genes of a model in its order.

    Parameters
    ----------
    adata
        Cells × genes. It is not changed.
    columns
        Column of each gene of the model, −1 if it is missing; None if the columns of `adata` are
        these genes.
    layer
        Layer with counts; None for ``X``.
    size_factors
        Size factor of each cell, shape (n_cells,); None sums over `size_factor_columns`.
    size_factor_columns
        Whether a column counts for the size factor, shape (n_columns,); None for all genes of the
        model.
    size_factor_share
        What sums are divided by: the share of all counts that these columns hold.
    average
        Value of each gene that is missing, per unit of the size factor if values are counts, shape
        (n_genes,); None if none is missing.
    are_counts
        Whether values are counts. Other values may be negative.
    batch_codes
        Number of the batch of each cell, shape (n_cells,), as in :class:`Batch`; None for none.
    """

    def __init__(
        self,
        adata: AnnData,
        columns: NDArray[np.int64] | None = None,
        *,
        layer: str | None = None,
        size_factors: NDArray[np.float32] | None = None,
        size_factor_columns: NDArray[np.bool_] | None = None,
        size_factor_share: float = 1.0,
        average: NDArray[np.float32] | None = None,
        are_counts: bool = True,
        batch_codes: NDArray[np.int64] | None = None,
    ) -> None:
        check_layer(adata, layer)
        self.n_obs: int = adata.n_obs
        self.n_vars: int = adata.n_vars if columns is None else len(columns)
        self.are_counts = are_counts
        self.batch_codes = batch_codes
        self._name = matrix_name(layer)
        self._matrix: Any = adata.X if layer is None else adata.layers[layer]
        self._columns = columns
        self._size_factors = size_factors
        self._weights = None if size_factor_columns is None else size_factor_columns.astype(np.float32)
        self._share = size_factor_share
        self.missing: NDArray[np.int64] = np.flatnonzero(columns < 0 if columns is not None else [])
        """Genes of the model that `adata` has not."""
        self._filled = None if average is None else torch.from_numpy(average[self.missing])

    def __len__(self) -> int:
        return self.n_obs

    def __getitem__(self, rows: list[int] | NDArray[np.int64]) -> Batch:
        """Return the cells in these rows, in their order."""
        rows = np.asarray(rows)
        block = self._block(rows)
        values = torch.from_numpy(self._genes_of_model(block))
        if self._size_factors is not None:
            size_factor = torch.from_numpy(self._size_factors[rows, None])
        elif self._weights is not None:
            size_factor = torch.from_numpy(np.asarray(block @ self._weights, dtype=np.float32)[:, None] / self._share)
        else:
            size_factor = values.sum(dim=1, keepdim=True) / self._share
        if self._filled is not None:
            values[:, self.missing] = size_factor * self._filled if self.are_counts else self._filled
        batch = None if self.batch_codes is None else torch.from_numpy(self.batch_codes[rows])
        return Batch(values, size_factor, torch.from_numpy(rows), batch=batch)

    def batches(self, rows: NDArray[np.int64] | None = None, batch_size: int = BATCH_SIZE) -> Iterator[Batch]:
        """Yield cells in batches of nearly equal size, so that none is left with a few cells.

        Parameters
        ----------
        rows
            Row numbers; None for all cells.
        batch_size
            Most cells in a batch.
        """
        rows = np.arange(self.n_obs) if rows is None else rows
        for part in np.array_split(rows, math.ceil(len(rows) / batch_size)):
            yield self.checked(self[part])

    def checked(self, batch: Batch) -> Batch:
        """Return `batch`; raise if values are not finite, or are counts and negative."""
        n_bad = batch.x.numel() - int(batch.x.isfinite().sum())
        if n_bad:
            msg = (
                f"{self._name} holds {n_bad} values that are NaN or infinite. Remove these cells or genes, or "
                "correct the values."
            )
            raise ValueError(msg)
        if self.are_counts and bool((batch.x < 0).any()):
            msg = (
                f"{self._name} holds negative values; the model takes raw counts. Pass an AnnData that has them there."
            )
            raise ValueError(msg)
        return batch

    def matrix(self) -> sparse.csr_matrix:
        """Return the values of all cells, shape (n_cells, n_genes), as CSR in float32.

        No copy if they are that.
        """
        block = self._matrix if self._is_in_memory else _read(self._matrix[:])
        return sparse.csr_matrix(block if self._columns is None else block[:, self._columns], dtype=np.float32)

    def _genes_of_model(self, block: Any) -> NDArray[np.float32]:
        """Return the values of the genes of the model, dense, 0 for those that are missing."""
        if not len(self.missing):
            return _dense(block if self._columns is None else block[:, self._columns])
        assert self._columns is not None
        values = np.zeros((block.shape[0], self.n_vars), dtype=np.float32)
        present = self._columns >= 0
        values[:, present] = _dense(block[:, self._columns[present]])
        return values

    @property
    def columns(self) -> NDArray[np.int64]:
        """Column of each gene of the model in `adata`, shape (n_genes,)."""
        return np.arange(self.n_vars) if self._columns is None else self._columns

    @property
    def _is_in_memory(self) -> bool:
        return sparse.issparse(self._matrix) or isinstance(self._matrix, np.ndarray)

    def _block(self, rows: NDArray[np.int64]) -> Any:
        """Return all columns of the cells in these rows, sparse or dense, in memory."""
        if self._is_in_memory:
            return self._matrix[rows]
        # Data on disk are read in increasing order, each row once.
        increasing, places = np.unique(rows, return_inverse=True)
        return _read(self._matrix[increasing])[places]


def _read(block: Any) -> Any:
    """Return a block of a matrix on disk or of dask as a matrix in memory."""
    if hasattr(block, "compute"):  # dask
        block = block.compute()
    return block if sparse.issparse(block) else np.asarray(block)


def _dense(block: Any) -> NDArray[np.float32]:
    values = block.toarray() if sparse.issparse(block) else block
    return np.ascontiguousarray(values, dtype=np.float32)


def row_numbers(indices: Any, n_obs: int) -> NDArray[np.int64]:
    """Return the row numbers that `indices` gives as numbers or as a mask.

    Raise unless these cells exist.
    """
    values = np.asarray(indices)
    is_mask = values.dtype == bool and values.shape == (n_obs,)
    is_list = values.ndim == 1 and np.issubdtype(values.dtype, np.integer)
    if not values.size:
        msg = "`indices` names no cell. Pass None for all cells."
        raise ValueError(msg)
    if not (is_mask or (is_list and (values >= -n_obs).all() and (values < n_obs).all())):
        msg = f"`indices` must hold row numbers below {n_obs}, or one True or False for each of {n_obs} cells."
        raise ValueError(msg)
    return np.arange(n_obs)[values]
