"""From an embedding to clusters."""

import numpy as np
from numpy.typing import NDArray

from scx._clustering.algorithms import leiden_at, run_algorithm
from scx._clustering.confidence import is_constant, posterior
from scx._clustering.n_clusters import choose_n_clusters, fixed_n_clusters
from scx._clustering.naming import ordered_by_size
from scx._clustering.types import Partition
from scx._rng import exclusively

RESOLUTION = 1.0
"""Resolution of Leiden where neither it nor a number of clusters is given; that of scanpy."""


@exclusively
def fit_partition(
    embedding: NDArray, n_clusters: int | None, algorithm: str, seed: int, resolution: float | None = None
) -> Partition:
    """Cluster an embedding.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_dims).
    n_clusters
        Number of clusters; None has it found by Leiden at `resolution`, or for another algorithm chosen by
        :func:`scx._clustering.n_clusters.choose_n_clusters`.
    algorithm
        One of :data:`scx._clustering.algorithms.ALGORITHMS`.
    seed
        Seed of whatever is drawn.
    resolution
        Resolution of Leiden where there is no number of clusters; None for `RESOLUTION`.
    """
    if is_constant(embedding):
        number, labels = (
            fixed_n_clusters(1, "all cells have the same embedding").info,
            np.zeros(len(embedding), dtype=np.int64),
        )
        confidence = np.full(len(labels), 1 / (n_clusters or 2), dtype=np.float32)
        return Partition(
            labels, confidence=confidence, info={"n_clusters": number, "cluster": algorithm, "n_cells_fitted": 0}
        )
    if algorithm == "leiden" and n_clusters is None:
        resolution = float(RESOLUTION if resolution is None else resolution)
        found, n_fitted = leiden_at(resolution, embedding, seed)
        number = fixed_n_clusters(int(found.max()) + 1, f"Leiden at resolution {resolution}").info | {
            "resolution": resolution
        }
    else:
        chosen = choose_n_clusters(embedding, seed) if n_clusters is None else fixed_n_clusters(n_clusters)
        number = chosen.info
        found, n_fitted = run_algorithm(algorithm, embedding, chosen.chosen, seed)
    labels = ordered_by_size(found)
    info = {"n_clusters": number, "cluster": algorithm, "n_cells_fitted": n_fitted}
    return Partition(labels, confidence=posterior(embedding, labels), info=info)
