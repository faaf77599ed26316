"""The number of clusters of an embedding, chosen by how stable and how separate they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Points

MAX_CELLS = 2_000
"""Cells used; more hardly change the choice. Each number of clusters is fitted on many halves."""
N_SPLITS = 6
"""Random splits of the cells into halves."""
N_STARTS = 2
"""Starts of KMeans in each half."""
TOLERANCE = 0.05
"""The largest number of clusters whose score is within this share of the best is chosen."""
MIN_CELLS_PER_CLUSTER = 5
"""A half with fewer cells per cluster than this, on average, does not measure stability."""
LARGEST = 64
"""Largest number of clusters to try."""

type NClusters = int | tuple[int, int] | None
"""A number of clusters; the least and the largest number to choose from; or None for any."""


@dataclass(frozen=True)
class NumberOfClusters:
    """A number of clusters, and the reason for it.

    Parameters
    ----------
    chosen
        The number.
    info
        For ``uns``: ``chosen``, ``reason``, and if it was not given, the curves over the numbers
        ``tried``.
    """

    chosen: int
    info: dict[str, Any]


def find_n_clusters(n_clusters: NClusters, embedding: Points, seed: int) -> NumberOfClusters:
    """Return the number of clusters if it is given; choose it on the embedding if it is not."""
    if isinstance(n_clusters, int):
        return fixed_n_clusters(n_clusters)
    return choose_n_clusters(embedding, seed, n_clusters or (2, LARGEST))


def fixed_n_clusters(n_clusters: int, reason: str = "given") -> NumberOfClusters:
    """Return a number of clusters that is known."""
    return NumberOfClusters(n_clusters, {"chosen": n_clusters, "reason": reason})


def choose_n_clusters(embedding: Points, seed: int, bounds: tuple[int, int] = (2, LARGEST)) -> NumberOfClusters:
    r"""Choose the number of clusters by stability under resampling and separation.

    For each number k, the cells are split at random into halves, KMeans clusters each half, and
    each of the two clusterings assigns all cells. *Stability* of a cluster of the first half is its
    Jaccard index with the most similar cluster of the second (:cite:t:`Yu2022` compare by the
    adjusted Rand index). *Separation* is the mean silhouette coefficient of its cells. Both are
    averaged over clusters, so that a rare type counts as much as a common one. The score is
    stability times separation, averaged over splits. Of all k with a score within 5 % of the best,
    the largest is chosen: such k show one structure at several depths, and it is easier to merge
    two clusters than to notice that a type is missing.

    The numbers tried start at the lower bound and end ten above twice the best so far, since scores
    fall from there on.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_dims).
    seed
        Seed of the cells used, at most 2,000, of the splits, and of the starts of KMeans.
    bounds
        Least and largest number to try. The largest is lower if there are fewer than ten of the
        cells used for each cluster.
    """
    from sklearn.metrics import pairwise_distances

    rng = np.random.default_rng(seed)
    cells = np.ascontiguousarray(embedding[rng.permutation(len(embedding))[:MAX_CELLS]], dtype=np.float32)
    distances = pairwise_distances(cells)
    splits = [np.array_split(rng.permutation(len(cells)), 2) for _ in range(N_SPLITS)]
    seeds = rng.integers(2**31 - 1, size=2 * N_SPLITS)

    stability: list[float] = []
    separation: list[float] = []
    score: list[float] = []
    low, high = bounds
    tried = range(low, max(low, min(high, len(cells) // (2 * MIN_CELLS_PER_CLUSTER))) + 1)
    for n_clusters in tried:
        splitwise = np.array(
            [
                _score_split(cells, distances, split, n_clusters, seeds[2 * i : 2 * i + 2])
                for i, split in enumerate(splits)
            ]
        )
        stability.append(splitwise[:, 0].mean())
        separation.append(splitwise[:, 1].mean())
        score.append(splitwise.prod(axis=1).mean())
        if n_clusters >= 2 * tried[int(np.argmax(score))] + 10:
            break
    near_best = np.flatnonzero(np.array(score) >= (1 - TOLERANCE) * max(score))
    chosen = tried[int(near_best[-1])]
    reason = (
        f"{chosen} is the largest number of clusters whose score, stability times separation, is within "
        f"{TOLERANCE:.0%} of the best ({max(score):.3f}, at {tried[int(np.argmax(score))]})"
    )
    curves = {"tried": np.array(tried[: len(score)]), "stability": stability, "separation": separation, "score": score}
    return NumberOfClusters(chosen, {"chosen": chosen, "reason": reason, "n_cells": len(cells), **curves})


def _score_split(
    cells: NDArray[np.float32],
    distances: NDArray[np.float32],
    halves: Sequence[NDArray[np.int64]],
    n_clusters: int,
    seeds: NDArray[np.int64],
) -> tuple[float, float]:
    """Return stability and separation of one split; `distances` are between all cells."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_samples
    from sklearn.metrics.cluster import contingency_matrix

    first, second = (
        KMeans(n_clusters, n_init=N_STARTS, random_state=int(seed)).fit(cells[half]).predict(cells)
        for half, seed in zip(halves, seeds, strict=True)
    )
    common = contingency_matrix(first, second)
    sizes = common.sum(axis=1)
    if len(sizes) < 2:  # the cells do not differ
        return 0.0, 0.0
    jaccard = common / (sizes[:, None] + common.sum(axis=0) - common)
    silhouette = silhouette_samples(distances, first, metric="precomputed")
    return jaccard.max(axis=1).mean(), float((np.bincount(first, silhouette)[np.unique(first)] / sizes).mean())
