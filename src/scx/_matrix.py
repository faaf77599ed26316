"""Matrices of counts, in any storage format."""

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

CHUNK = 4096
"""Rows of dense data on disk that are held in memory at a time."""


def read_counts(adata: AnnData, layer: str | None) -> sparse.csr_matrix:
    """Return the counts, cells × genes, as CSR in float32 with sorted indices and no stored zeros.

    The result shares memory with `adata` if the counts are already stored like this. Every other
    kind (dense, CSC, integers, on disk) is converted, so results do not depend on how counts are
    stored.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    if hasattr(matrix, "to_memory"):  # sparse on disk
        matrix = matrix.to_memory()
    elif not (sparse.issparse(matrix) or isinstance(matrix, np.ndarray)):  # dense on disk
        starts = range(0, matrix.shape[0], CHUNK)
        matrix = sparse.vstack(
            [sparse.csr_matrix(np.asarray(matrix[start : start + CHUNK], dtype=np.float32)) for start in starts]
        )
    counts = sparse.csr_matrix(matrix, dtype=np.float32)
    if not (counts.has_canonical_format and counts.data.all()):
        counts = counts.copy()
        counts.sum_duplicates()
        counts.eliminate_zeros()
    return counts


def log_normalized(counts: sparse.csr_matrix, size_factors: NDArray[np.floating]) -> sparse.csr_matrix:
    """Return log1p of counts over relative size factors, as a new matrix.

    The size factors, shape (n_cells,), are divided by their median.
    """
    scale = np.divide(np.median(size_factors), size_factors, out=np.zeros(len(size_factors)), where=size_factors > 0)
    return sparse.csr_matrix(sparse.diags_array(scale.astype(np.float32)) @ counts).log1p()
