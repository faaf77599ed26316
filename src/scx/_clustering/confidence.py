"""How certain the cluster of each cell is."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Labels, Points, chunks

ROUNDING = 64
"""Units in the last place by which equal values may differ, because of the order of a sum."""


class ConfidenceModel(Protocol):
    """Says how certain the cluster of any point is."""

    def posterior(self, points: Points, labels: Labels) -> NDArray[np.float32]:
        """Return the probability of the label of each point, shape (n_points,)."""
        ...


@dataclass(frozen=True)
class StudentT:
    """Clusters as equally weighted Student-t distributions, see :func:`posterior`.

    Parameters
    ----------
    origin
        Mean of all fitted cells, shape (n_dims,).
    means
        Mean of each cluster minus the origin, shape (n_clusters, n_dims).
    squared_scale
        s², a quarter of the mean squared distance of fitted cells from the origin.
    """

    origin: NDArray[np.float64]
    means: NDArray[np.float64]
    squared_scale: float

    def posterior(self, points: Points, labels: Labels) -> NDArray[np.float32]:
        """Return the posterior probability of the label of each point, shape (n_points,)."""
        from sklearn.metrics.pairwise import euclidean_distances

        confidence = np.empty(len(points), dtype=np.float32)
        for chunk in chunks(len(points)):
            squared_distances = euclidean_distances(points[chunk] - self.origin, self.means, squared=True)
            kernel = (1 + squared_distances / self.squared_scale) ** -2
            own = np.take_along_axis(kernel, labels[chunk, None], axis=1)
            confidence[chunk] = own[:, 0] / kernel.sum(axis=1)
        return confidence

    def reordered(self, order: Labels) -> Self:
        """Return the same clusters in another order; `order` has the present number of each."""
        return replace(self, means=self.means[order])


@dataclass(frozen=True)
class Chance:
    """Clusters that the embedding does not separate: every point has the same confidence.

    Parameters
    ----------
    confidence
        Probability of a cluster drawn at random.
    """

    confidence: float

    def posterior(self, points: Points, labels: Labels) -> NDArray[np.float32]:
        """Return the confidence for each point, shape (n_points,)."""
        return np.full(len(points), self.confidence, dtype=np.float32)

    def reordered(self, order: Labels) -> Self:
        """Return itself: all clusters are alike."""
        return self


def fit_confidence(embedding: Points, labels: Labels) -> StudentT | Chance:
    """Fit the means and the scale of :func:`posterior` to clusters, none of which is empty."""
    n_clusters = int(labels.max()) + 1
    if n_clusters == 1 or is_constant(embedding):
        return Chance(1 / max(2, n_clusters))
    means = np.stack([embedding[labels == label].mean(axis=0, dtype=np.float64) for label in range(n_clusters)])
    origin = np.bincount(labels) @ means / len(labels)
    means -= origin  # far from 0, squared distances would lose digits
    squares = sum(float(((embedding[chunk] - origin) ** 2).sum()) for chunk in chunks(len(labels)))
    return StudentT(origin, means, squares / len(labels) / 4)


def posterior(embedding: Points, labels: Labels) -> NDArray[np.float32]:
    r"""Return the posterior probability of the cluster of each cell, in [0, 1].

    .. math::

        q_i = \frac{(1 + d_{i, l_i}^2 / s^2)^{-2}}{\sum_c (1 + d_{ic}^2 / s^2)^{-2}}

    This is the posterior under a mixture of Student-t distributions:
    :math:`d_{ic}` is the Euclidean distance of cell i from the mean of cluster c, :math:`l_i` is
    the cluster of the cell, and s is half the root mean square distance of cells from their overall
    mean. It is the assignment of deep embedded clustering :cite:p:`Xie2016` with three
    degrees of freedom, on a scale set by the embedding. It is near 1
    at the mean of a cluster that lies apart, 1/2 half-way between two clusters, and small far from
    all. It means the same for every algorithm. If nothing is separated, because there is a single
    cluster or all cells have the same embedding, it is the probability of one of k clusters drawn
    at random, 1 / k, with k of at least 2.
    """
    return fit_confidence(embedding, labels).posterior(embedding, labels)


def is_constant(embedding: Points) -> bool:
    """Return whether all cells have the same embedding, up to rounding."""
    spread, size = np.ptp(embedding, axis=0).max(), np.abs(embedding).max()
    return bool(spread <= ROUNDING * np.finfo(embedding.dtype).eps * size)
