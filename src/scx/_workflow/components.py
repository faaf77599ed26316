"""Principal components of different genes: members of an ensemble that need no training."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx._matrix import log_normalized

MAX_VALUE = 10
"""Clip of log-normalised counts over their standard deviation."""
RANDOM_GENES = 3_000
"""Most variable genes of which a random view takes a part."""
RANDOM_SHARE = (0.3, 0.8)
"""Bounds of that part."""
RANDOM_COMPONENTS = (10, 50)
"""Bounds of the number of components of a random view."""


@dataclass(frozen=True)
class View:
    """Genes and number of principal components.

    Parameters
    ----------
    n_top_genes
        Number of the most variable genes.
    n_comps
        Number of components.
    share
        Share of these genes that is used, drawn at random.
    """

    n_top_genes: int
    n_comps: int
    share: float = 1.0


STANDARD = (View(2_000, 20), View(2_000, 50), View(500, 20))
"""The first views; random ones follow."""


def views(rng: np.random.Generator) -> Iterator[View]:
    """Yield views without end: the standard ones, then random ones."""
    return chain(STANDARD, (_random_view(rng) for _ in repeat(None)))


def _random_view(rng: np.random.Generator) -> View:
    low, high = RANDOM_COMPONENTS
    return View(RANDOM_GENES, int(rng.integers(low, high + 1)), float(rng.uniform(*RANDOM_SHARE)))


def principal_components(
    view: View, counts: sparse.csr_matrix, size_factors: NDArray[np.floating], seed: int
) -> NDArray[np.float32]:
    """Return principal components of log-normalised counts, scaled to unit variance and clipped.

    Parameters
    ----------
    view
        Genes and number of components; there are fewer if there are fewer cells or genes.
    counts
        Cells × genes, the most variable gene first.
    size_factors
        Size factor of each cell over all genes, shape (n_cells,).
    seed
        Seed of the genes drawn and of the decomposition.
    """
    import scanpy as sc

    n_genes = min(view.n_top_genes, counts.shape[1])
    genes = np.arange(n_genes)
    if view.share < 1:
        n_drawn = max(1, round(view.share * n_genes))
        genes = np.sort(np.random.default_rng(seed).choice(n_genes, n_drawn, replace=False))
    logged = AnnData(log_normalized(counts[:, genes], size_factors))
    # not centred, so that it stays sparse; the components are those of the centred matrix
    sc.pp.scale(logged, zero_center=False, max_value=MAX_VALUE)
    n_comps = min(view.n_comps, min(logged.shape) - 1)
    sc.pp.pca(logged, n_comps=n_comps, random_state=seed)
    return np.asarray(logged.obsm["X_pca"], dtype=np.float32)


def side_by_side(embeddings: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return embeddings side by side, each centred and scaled to unit Frobenius norm."""
    centred = [embedding - embedding.mean(axis=0) for embedding in embeddings]
    norms = [float(np.linalg.norm(points)) for points in centred]
    return np.hstack([points / (norm or 1.0) for points, norm in zip(centred, norms, strict=True)]).astype(np.float32)
