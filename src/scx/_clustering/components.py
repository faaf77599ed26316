"""Principal components of different genes: members of an ensemble that need no training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Self

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.arrays import Points
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


@dataclass(frozen=True)
class Expression:
    """Log-normalised counts, scaled to unit variance and clipped, and what makes them of counts.

    Parameters
    ----------
    median
        Median size factor.
    std
        Standard deviation of the log-normalised counts of each gene, shape (n_genes,).
    mean
        Mean of the clipped values, shape (n_genes,).
    """

    median: float
    std: NDArray[np.float32]
    mean: NDArray[np.float32]

    @classmethod
    def fit(cls, counts: sparse.csr_matrix, size_factors: NDArray[np.floating]) -> tuple[sparse.csr_matrix, Self]:
        """Return the expression of cells × genes, sparse because it is not centred, and the fit."""
        import scanpy as sc

        logged = AnnData(log_normalized(counts, size_factors))
        sc.pp.scale(logged, zero_center=False, max_value=MAX_VALUE)
        values = sparse.csr_matrix(logged.X)
        mean = np.asarray(values.mean(axis=0), dtype=np.float32).ravel()
        return values, cls(float(np.median(size_factors)), np.asarray(logged.var["std"], dtype=np.float32), mean)

    @property
    def average(self) -> NDArray[np.float32]:
        """Counts of a cell with the mean expression, over its size factor, shape (n_genes,)."""
        return np.asarray(np.expm1(self.mean * self.std) / self.median, dtype=np.float32)

    def of(self, counts: NDArray[np.float32], size_factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the expression of new cells, shape (n_cells, n_genes), by their counts."""
        scale = np.divide(self.median, size_factors, out=np.zeros_like(size_factors), where=size_factors > 0)
        expression = np.log1p(counts * scale[:, None]) / self.std
        return np.minimum(expression, np.float32(MAX_VALUE), dtype=np.float32)


@dataclass(frozen=True)
class Components:
    """Principal components of the expression of some genes.

    Parameters
    ----------
    genes
        Their numbers, shape (n,).
    center
        Mean expression, shape (n,).
    loadings
        Shape (n, n_comps).
    """

    genes: NDArray[np.int64]
    center: NDArray[np.float32]
    loadings: NDArray[np.float32]

    def of(self, expression: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the components of new cells, shape (n_cells, n_comps), by their expression."""
        return np.asarray((expression[:, self.genes] - self.center) @ self.loadings, dtype=np.float32)


def principal_components(
    view: View, expression: sparse.csr_matrix, seed: int
) -> tuple[NDArray[np.float32], Components]:
    """Return the principal components of cells, shape (n_cells, n_comps), and the fit.

    Parameters
    ----------
    view
        Genes and number of components; there are fewer if there are fewer cells or genes.
    expression
        Cells × genes, the most variable gene first, from :meth:`Expression.fit`.
    seed
        Seed of the genes drawn and of the decomposition.
    """
    import scanpy as sc

    n_genes = min(view.n_top_genes, expression.shape[1])
    genes = np.arange(n_genes)
    if view.share < 1:
        n_drawn = max(1, round(view.share * n_genes))
        genes = np.sort(np.random.default_rng(seed).choice(n_genes, n_drawn, replace=False))
    values = AnnData(expression[:, genes])
    sc.pp.pca(values, n_comps=min(view.n_comps, min(values.shape) - 1), random_state=seed)
    center = np.asarray(expression[:, genes].mean(axis=0), dtype=np.float32).ravel()
    loadings = np.ascontiguousarray(values.varm["PCs"], dtype=np.float32)
    return np.asarray(values.obsm["X_pca"], dtype=np.float32), Components(genes, center, loadings)


@dataclass(frozen=True)
class Place:
    """Center and Frobenius norm of an embedding: with unit norm, embeddings weigh the same.

    Parameters
    ----------
    center
        Shape (n_dims,).
    norm
        Norm of the centred embedding.
    """

    center: NDArray[np.float32]
    norm: float

    @classmethod
    def fit(cls, embedding: Points) -> Self:
        """Return the place of cells of training."""
        center = embedding.mean(axis=0)
        return cls(center, float(np.linalg.norm(embedding - center)) or 1.0)


def side_by_side(
    embeddings: Mapping[str, Points], places: Mapping[str, Place], names: Sequence[str]
) -> NDArray[np.float32]:
    """Return embeddings side by side in the order of `names`, each centred and over its norm."""
    scaled = [(embeddings[name] - places[name].center) / places[name].norm for name in names]
    return np.hstack(scaled).astype(np.float32)


def alone_or_together(embeddings: Mapping[str, Points], places: Mapping[str, Place], names: Sequence[str]) -> Points:
    """Return a single embedding as it is, and several side by side."""
    return embeddings[names[0]] if len(names) == 1 else side_by_side(embeddings, places, names)


STORED = (Expression, Components, Place)
"""Classes whose instances are saved, see :func:`scx._pack.pack`."""
