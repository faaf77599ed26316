"""How unlike any cell of training a new cell is, as a p-value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Points, chunks
from scx._clustering.loadings import fit_loadings

N_NEIGHBORS = 15
"""Nearest cells of training that a cell is compared with."""
N_COMPONENTS = 20
"""Principal components of expression."""
MAX_CELLS = 10_000
"""Cells of training that are kept; a random sample if there are more."""
N_FOLDS = 5
"""Parts of these cells; each is held back in turn."""
LEAST_SPACING = 1e-3
"""Least distance of a cell from its neighbours, as a share of the mean: cells may be equal."""


@dataclass(frozen=True)
class Neighborhood:
    """Cells of training in a space, and how densely they lie.

    Parameters
    ----------
    points
        Shape (n_cells, n_dims).
    spacing
        Mean distance of each cell from its nearest others, shape (n_cells,).
    """

    points: Points
    spacing: NDArray[np.float64]

    @classmethod
    def fit(cls, points: Points) -> Self:
        """Measure the distances between the cells."""
        distances, _ = _nearest(points, None)
        spacing = distances.mean(axis=1)
        return cls(points, np.maximum(spacing, LEAST_SPACING * spacing.mean() or 1.0))

    def remoteness(self, points: Points | None = None) -> NDArray[np.float64]:
        r"""Return the logarithm of :math:`d / \sqrt{s}` for each point, shape (n_points,).

        Here :math:`d` is the mean distance of the point from its nearest cells, and :math:`s` their
        mean spacing. Dividing by :math:`s` itself would measure how much less dense the place is
        than its surroundings, and dividing by nothing how dense it is; their geometric mean finds
        both small dense types and cells between types. None stands for the cells themselves, each
        compared with the others.
        """
        distances, cells = _nearest(self.points, points)
        spacing = self.spacing[cells].mean(axis=1)
        distance = np.maximum(distances.mean(axis=1), LEAST_SPACING * spacing)
        remoteness: NDArray[np.float64] = np.log(distance) - 0.5 * np.log(spacing)
        return remoteness


@dataclass(frozen=True)
class Outliers:
    """What says whether a new cell is unlike all cells of training.

    Parameters
    ----------
    center
        Mean normalised expression of the cells of training, shape (n_genes,).
    components
        Principal components of it, shape (n_genes, n_components).
    embedded, expressed
        Cells of training in the embedding and in the principal components.
    location, scale
        Mean and standard deviation of the remoteness of held-back cells in both, shape (2,).
    held_back
        Their scores, increasing, shape (n_cells,).
    """

    center: NDArray[np.float32]
    components: NDArray[np.float32]
    embedded: Neighborhood
    expressed: Neighborhood
    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    held_back: NDArray[np.float64]

    def score(self, embedding: Points, projection: Points) -> NDArray[np.float64]:
        """Return how unlike the cells of training each cell is, shape (n_cells,).

        Parameters
        ----------
        embedding
            Shape (n_cells, n_latent).
        projection
            Of normalised expression on the principal components, shape (n_cells, n_components).
        """
        remoteness = np.stack([self.embedded.remoteness(embedding), self.expressed.remoteness(projection)], axis=1)
        score: NDArray[np.float64] = ((remoteness - self.location) / self.scale).mean(axis=1)
        return score

    def p_value(self, score: NDArray[np.float64]) -> NDArray[np.float32]:
        r"""Return the share of held-back cells with at least this score, shape (n_cells,).

        The cell itself is counted among them, :math:`(1 + \#\{i : s_i \ge s\}) / (1 + n)`: this is
        the p-value of conformal prediction :cite:p:`Vovk2005`. If a cell is drawn as the cells of
        training were, it is below α with a probability of about α.
        """
        n = len(self.held_back)
        n_above = n - np.searchsorted(self.held_back, score, side="left")
        return ((1 + n_above) / (1 + n)).astype(np.float32)


STORED = (Outliers, Neighborhood)
"""Classes whose instances are saved, see :func:`scx._pack.pack`."""


def fit_outliers(
    embedding: Points, expression: Callable[[NDArray[np.int64]], NDArray[np.float32]], seed: int
) -> Outliers:
    """Keep cells of training, and measure how remote they are if they are held back.

    Principal components are computed without the fifth of the cells that is held back: they
    describe the cells that they were computed from better than others. The network saw all of them;
    in the embedding, each is only left out of its own neighbours.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_latent).
    expression
        Returns the normalised expression of the cells in some rows, shape (n, n_genes).
    seed
        Draws the cells and the fifths.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(embedding))[:MAX_CELLS])
    cells, values = embedding[rows], expression(rows)
    fold = rng.permutation(np.arange(len(rows)) % N_FOLDS)
    expressed = np.empty(len(rows))
    for number in np.unique(fold):
        held_back = fold == number
        center, components = fit_loadings(values[~held_back], N_COMPONENTS, seed)
        known, new = ((part - center) @ components for part in (values[~held_back], values[held_back]))
        expressed[held_back] = Neighborhood.fit(known).remoteness(new)
    embedded = Neighborhood.fit(cells)
    remoteness = np.stack([embedded.remoteness(), expressed], axis=1)
    location, scale = remoteness.mean(axis=0), remoteness.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    scores = ((remoteness - location) / scale).mean(axis=1)
    center, components = fit_loadings(values, N_COMPONENTS, seed)
    return Outliers(
        center,
        components,
        embedded,
        Neighborhood.fit((values - center) @ components),
        location,
        scale,
        np.sort(scores),
    )


def _nearest(cells: Points, points: Points | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distances and numbers of the nearest cells of each point, shape (n_points, k).

    None stands for the cells themselves, without the cell itself.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(N_NEIGHBORS, len(cells) - 1)
    search = NearestNeighbors(n_neighbors=k).fit(cells)
    if points is None:
        distances, numbers = search.kneighbors()
        return distances, numbers
    parts = [search.kneighbors(points[chunk]) for chunk in chunks(len(points))]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
