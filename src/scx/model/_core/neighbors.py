"""Nearest neighbours of cells in principal components."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from scx._matrix import log_normalized

from .source import CellSource

N_COMPONENTS = 20
"""Principal components in which neighbours are searched."""
MAX_EXACT = 30_000
"""Largest number of cells for the exact search, which takes seconds. Above, it is approximate."""


def nearest_neighbors(
    cells: CellSource, size_factors: NDArray[np.float32], n_neighbors: int, seed: int
) -> NDArray[np.int64]:
    """Find the nearest neighbours of each cell in principal components of log-normalised counts.

    Parameters
    ----------
    cells
        Counts of the cells.
    size_factors
        Shape (n_cells,).
    n_neighbors
        Number k of neighbours; fewer if there are fewer other cells.
    seed
        Seed of the approximations that replace exact results in large data.

    Returns
    -------
    Row numbers, shape (n_cells, k), without the cell itself.
    """
    import scanpy as sc

    n_neighbors = min(n_neighbors, cells.n_obs - 1)
    n_comps = min(N_COMPONENTS, min(cells.n_obs, cells.n_vars) - 1)
    components = sc.pp.pca(log_normalized(cells.matrix(), size_factors), n_comps=n_comps, random_state=seed)
    if cells.n_obs <= MAX_EXACT:
        exact: NDArray[np.int64] = (
            NearestNeighbors(n_neighbors=n_neighbors).fit(components).kneighbors(return_distance=False)
        )
        return exact
    from pynndescent import NNDescent

    found: NDArray[np.int32] = NNDescent(components, n_neighbors=n_neighbors + 1, random_state=seed).neighbor_graph[0]
    # An entry is negative where the search found too few neighbours.
    unusable = (found == np.arange(cells.n_obs)[:, None]) | (found < 0)
    nearest = np.argsort(unusable, axis=1, kind="stable")[:, :n_neighbors]
    return np.maximum(np.take_along_axis(found, nearest, axis=1), 0).astype(np.int64)
