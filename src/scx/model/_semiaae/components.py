"""Principal components of the normalised expression, without holding it for all cells."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

N_COMPONENTS = 50
"""Number of principal components."""
MAX_CELLS = 10_000
"""Cells on which the components are fitted; a random sample if there are more."""


def principal_components(
    expression: Callable[[NDArray[np.int64] | None], Iterator[NDArray[np.float32]]], n_cells: int, seed: int
) -> NDArray[np.float32]:
    """Return the principal components of all cells, shape (n_cells, n_components).

    Parameters
    ----------
    expression
        Yields the normalised expression of the cells in some rows, of all cells for None, in blocks
        of shape (n, n_genes).
    n_cells
        Number of cells.
    seed
        Draws the cells to fit on, and seeds the solver.
    """
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(seed).permutation(n_cells)[:MAX_CELLS]
    sample = np.concatenate(list(expression(np.sort(rows))))
    pca = PCA(min(N_COMPONENTS, *sample.shape), random_state=seed).fit(sample)
    return np.concatenate([pca.transform(block) for block in expression(None)])
