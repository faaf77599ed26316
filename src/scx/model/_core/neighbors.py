"""Nearest neighbours of cells in principal components."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from scx._checks import warn
from scx._matrix import log_normalized

from .source import CellSource

N_COMPONENTS = 20
"""Principal components in which neighbours are searched."""
MAX_EXACT = 30_000
"""Largest number of cells for the exact search, which takes seconds. Above, it is approximate."""


def nearest_neighbors(
    cells: CellSource,
    size_factors: NDArray[np.float32],
    n_neighbors: int,
    seed: int,
    batches: NDArray[np.str_] | None = None,
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
    batches
        Names of the batches of the cells; None for no batches.

    Returns
    -------
    Row numbers, shape (n_cells, k), without the cell itself. With batches they are those of
    :func:`in_every_batch`.
    """
    import scanpy as sc

    n_comps = min(N_COMPONENTS, min(cells.n_obs, cells.n_vars) - 1)
    logged = log_normalized(cells.matrix(), size_factors)
    components = np.asarray(sc.pp.pca(logged, n_comps=n_comps, random_state=seed))
    if batches is None:
        return nearest(components, None, n_neighbors, seed)
    assert cells.batch_codes is not None
    sizes = np.bincount(cells.batch_codes)
    if sizes.min() <= n_neighbors:
        warn(
            f"`batch_key`: batch {str(batches[sizes.argmin()])!r} has {sizes.min()} cells, so there are fewer than the "
            f"{n_neighbors} nearest neighbours of a cell in it: all that there are are used. Leave out such batches if they are of no interest."
        )
    return in_every_batch(components, cells.batch_codes, n_neighbors, seed)


def nearest(
    points: NDArray[np.floating], others: NDArray[np.floating] | None, n_neighbors: int, seed: int
) -> NDArray[np.int64]:
    """Return the nearest of the `points` to each of the `others`, shape (n_others, k).

    `others` None stands for the points themselves, each without itself. k is `n_neighbors`, or
    fewer if there are fewer points.
    """
    k = min(n_neighbors, len(points) - (others is None))
    if len(points) <= MAX_EXACT:
        exact: NDArray[np.int64] = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(others, return_distance=False)
        return exact
    from pynndescent import NNDescent

    index = NNDescent(points, n_neighbors=k + 1, random_state=seed)
    found: NDArray[np.int32] = index.neighbor_graph[0] if others is None else index.query(others, k)[0]
    # An entry is negative where the search found too few neighbours.
    unusable = found < 0 if others is not None else (found == np.arange(len(points))[:, None]) | (found < 0)
    order = np.argsort(unusable, axis=1, kind="stable")[:, :k]
    return np.maximum(np.take_along_axis(found, order, axis=1), 0).astype(np.int64)


def in_every_batch(
    points: NDArray[np.floating], batches: NDArray[np.int64], n_neighbors: int, seed: int
) -> NDArray[np.int64]:
    """Find the nearest neighbours of each cell in its batch and in others that have its type.

    Points are centred per batch. A cell and one of another batch are mutual nearest neighbours if
    each is among the k nearest of the other in the batch of the other :cite:p:`Haghverdi2018`.
    Another batch has the type of a cell if at least half of the k nearest neighbours of the cell in
    its own batch have a mutual one there. A cell of a type that the batch lacks is near some cell
    there, too, but that cell has nearer ones.

    Parameters
    ----------
    points
        Shape (n_cells, n_dims).
    batches
        Number of the batch of each cell, shape (n_cells,).
    n_neighbors
        Number k of neighbours.
    seed
        Seed of the approximate search in large data.

    Returns
    -------
    Row numbers, shape (n_cells, about k). As many are from a batch as correspond to its share of
    all cells, and at least one: what the k nearest were if there was no effect of the batch. Those
    of the own batch take the place of those in a batch that lacks the type. A cell that is alone in
    its batch is its own neighbour there.
    """
    n_cells, sizes = len(batches), np.bincount(batches)
    points = points.copy()
    cells, slots = np.arange(n_cells), np.arange(n_neighbors)
    found = np.empty((n_cells, len(sizes), n_neighbors), dtype=np.int32)
    members = [np.flatnonzero(batches == batch) for batch in range(len(sizes))]
    for rows in members:
        points[rows] -= points[rows].mean(axis=0)
    for batch, rows in enumerate(members):
        others = np.flatnonzero(batches != batch)
        within = nearest(points[rows], None, n_neighbors, seed) if len(rows) > 1 else np.zeros((1, 1), dtype=np.int64)
        across = nearest(points[rows], points[others], n_neighbors, seed)
        found[rows, batch] = rows[within][:, slots % within.shape[1]]
        found[others, batch] = rows[across][:, slots % across.shape[1]]
    own = found[cells, batches]
    chosen = []
    for batch, n_chosen in enumerate(np.ceil(n_neighbors * sizes / n_cells).astype(int)):
        there = found[:, batch]
        has_mutual = np.zeros(n_cells, dtype=bool)
        for slot in slots:
            has_mutual |= (found[there[:, slot], batches] == cells[:, None]).any(axis=1)
        has_type = (has_mutual[own].mean(axis=1) >= 0.5) | (batches == batch)
        chosen.append(np.where(has_type[:, None], there, own)[:, :n_chosen])
    return np.concatenate(chosen, axis=1).astype(np.int64)
