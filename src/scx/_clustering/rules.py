"""Rules that give a cluster to any point of an embedding. They hold plain arrays only."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Labels, Points, labels_in_chunks

N_VOTERS = 15
"""Nearest fitted cells that vote on the cluster of a point."""


class Rule(Protocol):
    """Gives a cluster to any point."""

    def assign(self, points: Points) -> Labels:
        """Return the cluster of each point, shape (n_points,)."""
        ...


@dataclass(frozen=True)
class NearestCenter:
    """The cluster with the nearest center.

    Parameters
    ----------
    centers
        Shape (n_clusters, n_dims).
    """

    centers: Points

    def assign(self, points: Points) -> Labels:
        """Return the cluster of each point, shape (n_points,)."""
        from sklearn.metrics import pairwise_distances_argmin

        origin = self.centers.mean(axis=0, dtype=np.float64)  # far from 0, squared distances would lose digits
        centers = self.centers - origin
        return labels_in_chunks(lambda chunk: pairwise_distances_argmin(chunk - origin, centers), points)


@dataclass(frozen=True)
class Mixture:
    """The most probable component of a mixture of Gaussians with diagonal covariances.

    Parameters
    ----------
    weights
        Shape (n_clusters,).
    means, variances
        Shape (n_clusters, n_dims).
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]

    def assign(self, points: Points) -> Labels:
        """Return the cluster of each point, shape (n_points,)."""
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(len(self.weights), covariance_type="diag")
        mixture.weights_, mixture.means_, mixture.covariances_ = self.weights, self.means, self.variances
        mixture.precisions_cholesky_ = 1 / np.sqrt(self.variances)
        return labels_in_chunks(mixture.predict, points)


@dataclass(frozen=True)
class NeighborVote:
    """The cluster of most of the nearest fitted cells; the lowest number if votes are equal.

    Parameters
    ----------
    points
        Embedding of the fitted cells, shape (n_fitted, n_dims).
    labels
        Their clusters, shape (n_fitted,).
    """

    points: Points
    labels: Labels

    def assign(self, points: Points) -> Labels:
        """Return the cluster of each point, shape (n_points,)."""
        from sklearn.neighbors import KNeighborsClassifier

        n_voters = min(N_VOTERS, len(self.points))
        return labels_in_chunks(KNeighborsClassifier(n_voters).fit(self.points, self.labels).predict, points)
