"""From an embedding to a partition."""

import numpy as np

from scx._clustering.algorithms import leiden_at, run_algorithm
from scx._clustering.arrays import Points
from scx._clustering.confidence import Chance, fit_confidence, is_constant
from scx._clustering.n_clusters import NClusters, find_n_clusters, fixed_n_clusters
from scx._clustering.naming import ordered_by_size
from scx._clustering.rules import NearestCenter
from scx._clustering.types import Assignment, Partition
from scx._rng import exclusively

RESOLUTION = 1.0
"""Resolution of Leiden if neither it nor a number of clusters is given; the same as in scanpy."""


@exclusively
def fit_partition(
    embedding: Points, n_clusters: NClusters, algorithm: str, seed: int, resolution: float | None = None
) -> Partition:
    """Cluster an embedding.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_dims).
    n_clusters
        Number of clusters, or bounds between which
        :func:`scx._clustering.n_clusters.choose_n_clusters` chooses it. With None, Leiden finds it
        at `resolution`; for the other algorithms, it is chosen.
    algorithm
        One of :data:`scx._clustering.algorithms.ALGORITHMS`.
    seed
        Seed of all random draws.
    resolution
        Resolution of Leiden without a number of clusters; None for `RESOLUTION`.

    Returns
    -------
    Clusters numbered by size, with a confidence for each cell; the partition assigns new points.
    """
    if is_constant(embedding):
        return _single_cluster(embedding, n_clusters, algorithm)
    if algorithm == "leiden" and n_clusters is None:
        resolution = float(RESOLUTION if resolution is None else resolution)
        found, rule, n_fitted = leiden_at(resolution, embedding, seed)
        reason = f"Leiden at resolution {resolution}"
        number = fixed_n_clusters(int(found.max()) + 1, reason).info | {"resolution": resolution}
    else:
        chosen = find_n_clusters(n_clusters, embedding, seed)
        number = chosen.info
        found, rule, n_fitted = run_algorithm(algorithm, embedding, chosen.chosen, seed)
    labels = ordered_by_size(found)
    label_of = np.zeros(int(found.max()) + 1, dtype=np.int64)
    label_of[found] = labels
    confidence = fit_confidence(embedding, labels)
    return Partition(
        labels,
        confidence=confidence.posterior(embedding, labels),
        info={"n_clusters": number, "cluster": algorithm, "n_cells_fitted": n_fitted},
        assignment=Assignment(rule, confidence.reordered(label_of), label_of),
    )


def _single_cluster(embedding: Points, n_clusters: NClusters, algorithm: str) -> Partition:
    """Return all cells as one cluster, with the confidence of one of `n_clusters` by chance."""
    labels = np.zeros(len(embedding), dtype=np.int64)
    confidence = Chance(1 / (n_clusters if isinstance(n_clusters, int) else 2))
    number = fixed_n_clusters(1, "all cells have the same embedding").info
    return Partition(
        labels,
        confidence=confidence.posterior(embedding, labels),
        info={"n_clusters": number, "cluster": algorithm, "n_cells_fitted": 0},
        assignment=Assignment(NearestCenter(embedding[:1].copy()), confidence, labels[:1].copy()),
    )
