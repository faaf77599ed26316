"""Principal components as a linear map, for new cells too."""

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 10_000
"""Cells from which components are computed; a random sample if there are more."""


def fit_loadings(
    values: NDArray[np.float32], n_components: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of cells, shape (n_genes,), and their loadings, shape (n_genes, n).

    Parameters
    ----------
    values
        Shape (n_cells, n_genes).
    n_components
        Number of components; fewer if there are fewer cells or genes.
    seed
        Seed of the solver.
    """
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # shares of a variance of 0, if all cells are equal
        pca = PCA(min(n_components, *values.shape), random_state=seed).fit(values)
    return pca.mean_.astype(np.float32), np.ascontiguousarray(pca.components_.T, dtype=np.float32)
