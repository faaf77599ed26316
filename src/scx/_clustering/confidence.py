"""How sure each cell's cluster is."""

import numpy as np
from numpy.typing import NDArray

from scx._clustering.algorithms import CHUNK

ROUNDING = 64
"""Differences of so many units in the last place are none: the order of a sum makes them."""


def posterior(embedding: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    r"""Return the posterior probability of each cell's cluster under a mixture of Student-t distributions, in [0, 1].

    .. math::

        q_i = \frac{(1 + d_{i, l_i}^2 / s^2)^{-2}}{\sum_c (1 + d_{ic}^2 / s^2)^{-2}}

    with the Euclidean distance :math:`d_{ic}` of cell i from the mean of cluster c, the cell's cluster :math:`l_i`, and half
    the root mean square distance of cells from their overall mean, s: the assignment of deep embedded clustering
    :cite:p:`Xie2016` with three degrees of freedom, on a scale that the embedding sets. It is near 1 at the mean of a cluster
    that lies apart, 1/2 half-way between two clusters, and small far from all. Whatever the algorithm, it means the same. Where
    nothing is told apart, by a single cluster or because all cells have the same embedding, it is that of k = 2 or more clusters
    by chance, 1 / k.
    """
    n_clusters = int(labels.max()) + 1
    if n_clusters == 1 or is_constant(embedding):
        return np.full(len(labels), 1 / max(2, n_clusters), dtype=np.float32)
    from sklearn.metrics.pairwise import euclidean_distances

    means = np.stack([embedding[labels == label].mean(axis=0, dtype=np.float64) for label in range(n_clusters)])
    overall = np.bincount(labels) @ means / len(labels)
    means -= overall  # distances far from the origin would lose their digits
    starts = range(0, len(labels), CHUNK)
    scale = sum(float(((embedding[start : start + CHUNK] - overall) ** 2).sum()) for start in starts) / len(labels) / 4
    confidence = np.empty(len(labels), dtype=np.float32)
    for start in starts:
        cells = embedding[start : start + CHUNK] - overall
        kernel = (1 + euclidean_distances(cells, means, squared=True) / scale) ** -2
        own = np.take_along_axis(kernel, labels[start : start + CHUNK, None], axis=1)
        confidence[start : start + CHUNK] = own[:, 0] / kernel.sum(axis=1)
    return confidence


def is_constant(embedding: NDArray) -> bool:
    """Whether all cells have the same embedding, but for the rounding of numbers."""
    spread, size = np.ptp(embedding, axis=0).max(), np.abs(embedding).max()
    return bool(spread <= ROUNDING * np.finfo(embedding.dtype).eps * size)
