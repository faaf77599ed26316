from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx import _anndata, _checks
from scx._types import typed

type Points = NDArray[np.floating] | sparse.csr_matrix[Any] | sparse.csr_array[Any]
"""Points in a space, shape (n_cells, n_dims)."""
WORKING_MEMORY = 128
"""MiB of distances that are in memory at a time."""


@typed
def knn_preservation(
    adata: AnnData,
    use_rep: str,
    *,
    reference: str | None = None,
    k: int | Sequence[int] = 30,
    max_cells: int = 2000,
    rng: int | np.random.Generator = 0,
) -> float | NDArray[np.float64]:
    r"""Measure the share of its nearest neighbours that a cell keeps :cite:p:`Heiser2020`.

    :math:`\frac{1}{nk} \sum_i |N_k(i) \cap N'_k(i)|` with the k nearest other cells of cell i by
    Euclidean distance in the reference, :math:`N_k(i)`, and in the embedding, :math:`N'_k(i)`. It
    is 1 if all neighbours are kept, and about k / (n_cells − 1) if the embedding is independent of
    the reference.

    Neighbours are exact and searched among all cells. In large data, the mean is over a random
    sample of cells: run time is linear in the number of cells, not quadratic.

    Parameters
    ----------
    adata
        Cells with the representations.
    use_rep
        Embedding, an entry of ``obsm``.
    reference
        Representation that defines the neighbours to keep, an entry of ``obsm``; None for ``X``.
        ``X`` should not hold raw counts: their distances mostly reflect sequencing depth.
    k
        Number of neighbours; several numbers are computed in one pass.
    max_cells
        Maximum number of cells in the mean; a random sample is taken if there are more.
    rng
        Seed, or generator to draw the sample from.

    Returns
    -------
    Share of neighbours kept, in [0, 1]; one for each `k` if there are several, shape (n_k,).

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message says what to do.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.metrics.knn_preservation(adata, "X_umap", reference="X_pca", k=[10, 100])
    """
    _anndata.check_some_cells(adata, 2)
    _checks.check_rng(rng)
    _checks.check_positive_int("max_cells", max_cells)
    _anndata.check_not_empty("k", k)
    ks = np.atleast_1d(np.asarray(k))
    for value in ks:
        _checks.check_positive_int("k", value, maximum=adata.n_obs - 1, why=" (the number of other cells)")
    representations = [_reference(adata, reference), _anndata.check_representation(adata, "use_rep", use_rep)]
    n_sample = min(max_cells, adata.n_obs)
    sample = np.sort(np.random.default_rng(rng).choice(adata.n_obs, n_sample, replace=False))
    n_neighbors = int(ks.max())
    kept, found = (_nearest(points, sample, n_neighbors) for points in representations)
    # A common neighbour is kept at every k above both of its ranks.
    first_k = [
        np.maximum(*np.intersect1d(*pair, assume_unique=True, return_indices=True)[1:])
        for pair in zip(kept, found, strict=True)
    ]
    counts = np.bincount(np.concatenate(first_k), minlength=n_neighbors).cumsum()
    preserved = counts[ks - 1] / (n_sample * ks)
    return preserved if np.ndim(k) else float(preserved[0])


def _reference(adata: AnnData, name: str | None) -> Points:
    """Return the representation that defines the neighbours; raise unless it can be used."""
    if name is not None:
        return _anndata.check_representation(adata, "reference", name)
    _anndata.check_in_memory("X", adata.X)
    if adata.X is None or not adata.n_vars:
        msg = "`adata.X` is empty: pass as `reference` an entry of `adata.obsm`."
        raise ValueError(msg)
    if adata.isbacked:
        msg = "`adata.X` is on disk. Pass as `reference` an entry of `adata.obsm`, or use `adata.to_memory()`."
        raise ValueError(msg)
    matrix = cast("Points", adata.X)
    if not np.isfinite(matrix.data if sparse.issparse(matrix) else matrix).all():
        msg = "`adata.X` holds values that are NaN or infinite. Pass as `reference` an entry of `adata.obsm`."
        raise ValueError(msg)
    return matrix


def _nearest(points: Points, sample: NDArray[np.int64], n_neighbors: int) -> NDArray[np.int64]:
    """Return the nearest other points of a `sample`, nearest first, (n_sample, n_neighbors)."""
    from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: NDArray[np.floating], start: int) -> NDArray[np.int64]:
        rows = np.arange(len(distances))
        distances[rows, sample[start : start + len(distances)]] = np.inf
        candidates = np.argpartition(distances, n_neighbors - 1, axis=1)[:, :n_neighbors]
        order = np.argsort(distances[rows[:, None], candidates], axis=1)
        return candidates[rows[:, None], order]

    chunks = pairwise_distances_chunked(
        points[sample], points, reduce_func=nearest, metric="euclidean", working_memory=WORKING_MEMORY
    )
    return np.concatenate(list(chunks))
