from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx import _anndata, _checks
from scx._types import typed

WORKING_MEMORY = 128
"""MiB of distances that are held at a time."""


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
    r"""Measure how many of its nearest neighbours a cell keeps from one representation to another :cite:p:`Heiser2020`.

    :math:`\frac{1}{nk} \sum_i |N_k(i) \cap N'_k(i)|` with the k nearest other cells of cell i by Euclidean distance in the
    reference, :math:`N_k(i)`, and in the embedding, :math:`N'_k(i)`. It is 1 if all neighbours are kept, and about
    k / (n_cells − 1) if the embedding has nothing to do with the reference.

    Neighbours are exact and sought among all cells. In large data, the mean is over a random sample of cells, so that time
    grows with the number of cells and not with its square.

    Parameters
    ----------
    adata
        Cells with the representations.
    use_rep
        Embedding, an entry of ``obsm``.
    reference
        Representation whose neighbours are to be kept, an entry of ``obsm``; None for ``X``, which should then not hold raw
        counts, whose distances are mostly those of sequencing depth.
    k
        Number of neighbours; several are computed in one pass.
    max_cells
        Number of cells over which the mean is taken; all cells if there are not more.
    rng
        Seed, or generator to draw the sample from.

    Returns
    -------
    Preserved part, in [0, 1]; one for each `k` where there are several, shape (n_k,).

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be used; the message says what to do.

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
    # A neighbour common to both is kept at every k that both of its ranks are below.
    first_k = [
        np.maximum(*np.intersect1d(*pair, assume_unique=True, return_indices=True)[1:])
        for pair in zip(kept, found, strict=True)
    ]
    counts = np.bincount(np.concatenate(first_k), minlength=n_neighbors).cumsum()
    preserved = counts[ks - 1] / (n_sample * ks)
    return preserved if np.ndim(k) else float(preserved[0])


def _reference(adata: AnnData, name: str | None) -> Any:
    """Return the representation whose neighbours are to be kept; raise unless it is there and finite."""
    if name is not None:
        return _anndata.check_representation(adata, "reference", name)
    _anndata.check_in_memory("X", adata.X)
    if adata.X is None or not adata.n_vars:
        msg = "`adata.X` is empty: pass as `reference` an entry of `adata.obsm`."
        raise ValueError(msg)
    values = adata.X.data if sparse.issparse(adata.X) else adata.X
    if adata.isbacked or not np.isfinite(values).all():
        what = "is on disk" if adata.isbacked else "holds values that are NaN or infinite"
        msg = f"`adata.X` {what}. Pass as `reference` an entry of `adata.obsm`{', or use `adata.to_memory()`' * adata.isbacked}."
        raise ValueError(msg)
    return adata.X


def _nearest(points: Any, sample: NDArray[np.int64], n_neighbors: int) -> NDArray[np.int64]:
    """Return the nearest other points of those in `sample`, nearest first, shape (n_sample, n_neighbors)."""
    from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: NDArray, start: int) -> NDArray[np.int64]:
        rows = np.arange(len(distances))
        distances[rows, sample[start : start + len(distances)]] = np.inf
        candidates = np.argpartition(distances, n_neighbors - 1, axis=1)[:, :n_neighbors]
        order = np.argsort(distances[rows[:, None], candidates], axis=1)
        return candidates[rows[:, None], order]

    chunks = pairwise_distances_chunked(
        points[sample], points, reduce_func=nearest, metric="euclidean", working_memory=WORKING_MEMORY
    )
    return np.concatenate(list(chunks))
