"""From an embedding to clusters, how many there are, and how sure each cell's is."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scx._clustering.algorithms import ALGORITHMS, CHUNK, leiden_at, run_algorithm
from scx._clustering.n_clusters import choose_n_clusters, given
from scx._rng import exclusively

METHODS = tuple(ALGORITHMS)
"""Names of the clustering algorithms."""
RESOLUTION = 1.0
"""Resolution of Leiden where neither it nor a number of clusters is given; that of scanpy."""

CHANCE = 1.05
"""Clusters separate nothing if the mean confidence is less than so many times that of as many clusters by chance."""
ROUNDING = 64
"""Differences of so many units in the last place are none: the order of a sum makes them."""


@dataclass(frozen=True)
class Prediction:
    """What a model that was given types of some cells says of all.

    Parameters
    ----------
    types
        Names of the known types.
    proba
        Probability of each, shape (n_cells, n_types).
    info
        For ``uns``: how the probabilities were calibrated.
    """

    types: tuple[str, ...]
    proba: NDArray[np.float32]
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Clustering:
    """Clusters of cells.

    Parameters
    ----------
    labels
        Cluster of each cell, shape (n_cells,); 0 is the largest where clusters have no names.
    names
        Name of each cluster; None names them by their numbers.
    confidence
        Confidence of each cell's cluster in [0, 1], see :func:`posterior`, or of its predicted type where there is one, shape
        (n_cells,); None without an embedding.
    prediction
        Known types that cells are likely of; None where none is known.
    agreement
        How far several clusterings agree on each cell, see :func:`scx._clustering.consensus.agreement`; None where there is but one.
    info
        How the clusters came about, for ``uns``: ``n_clusters`` (``chosen``, ``reason``, and the curves behind the choice),
        ``cluster`` (the algorithm) and what else there is to say.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...] | None = None
    confidence: NDArray[np.float32] | None = None
    prediction: Prediction | None = None
    agreement: NDArray[np.float32] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_clusters(self) -> int:
        """Number of clusters there are."""
        return int(self.labels.max()) + 1


@exclusively
def cluster(
    embedding: NDArray, n_clusters: int | None, method: str, seed: int, resolution: float | None = None
) -> Clustering:
    """Cluster an embedding.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_dims).
    n_clusters
        Number of clusters; None has it found by Leiden at `resolution`, or for another method chosen by
        :func:`scx._clustering.n_clusters.choose_n_clusters`.
    method
        One of `METHODS`.
    seed
        Seed of whatever is drawn.
    resolution
        Resolution of Leiden where there is no number of clusters; None for `RESOLUTION`.
    """
    if is_constant(embedding):
        number, labels = given(1, "all cells have the same embedding").info, np.zeros(len(embedding), dtype=np.int64)
        confidence = np.full(len(labels), 1 / (n_clusters or 2), dtype=np.float32)
        return Clustering(
            labels, confidence=confidence, info={"n_clusters": number, "cluster": method, "n_cells_fitted": 0}
        )
    if method == "leiden" and n_clusters is None:
        resolution = float(RESOLUTION if resolution is None else resolution)
        found, n_fitted = leiden_at(resolution, embedding, seed)
        number = given(int(found.max()) + 1, f"Leiden at resolution {resolution}").info | {"resolution": resolution}
    else:
        chosen = choose_n_clusters(embedding, seed) if n_clusters is None else given(n_clusters)
        number = chosen.info
        found, n_fitted = run_algorithm(method, embedding, chosen.chosen, seed)
    labels = ordered_by_size(found)
    info = {"n_clusters": number, "cluster": method, "n_cells_fitted": n_fitted}
    return Clustering(labels, confidence=posterior(embedding, labels), info=info)


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


def checked(clustering: Clustering, asked: int | None) -> Clustering:
    """Return the clusters with their number as it was found and as it was `asked` for; warn if these differ, or nothing is told apart."""
    found = len(np.unique(clustering.labels))
    number = dict(clustering.info["n_clusters"])
    if number["chosen"] != found:
        number |= {"chosen": found, "reason": f"{number['reason']}; {found} found"}
    if asked is not None:
        number["asked"] = int(asked)
        if found != asked:
            warnings.warn(
                f"There are {found} clusters, not the {asked} that `n_clusters` asks for ({number['reason']}).",
                UserWarning,
                stacklevel=5,
            )
    at_random = (
        clustering.prediction is None
        and clustering.confidence is not None
        and clustering.confidence.mean() < CHANCE / found
    )
    if found == 1 or at_random:
        warnings.warn(
            "The clusters separate nothing: "
            + (
                "all cells are in one. "
                if found == 1
                else "cells are as near to the means of other clusters as to their own. "
            )
            + "Look at the embedding, and at the history of the training if there was one, before you use them.",
            UserWarning,
            stacklevel=5,
        )
    return replace(clustering, info={**clustering.info, "n_clusters": number})


def is_constant(embedding: NDArray) -> bool:
    """Whether all cells have the same embedding, but for the rounding of numbers."""
    spread, size = np.ptp(embedding, axis=0).max(), np.abs(embedding).max()
    return bool(spread <= ROUNDING * np.finfo(embedding.dtype).eps * size)


def ordered_by_size(labels: NDArray) -> NDArray[np.int64]:
    """Renumber clusters from the largest to the smallest, those of one size by their first cell."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]


def named_after(clustering: Clustering, voters: NDArray, names: Sequence[str], *, join: bool) -> Clustering:
    """Name clusters by the vote of their cells.

    Parameters
    ----------
    clustering
        What to name.
    voters
        Name that each cell votes for, as its place in `names`, shape (n_cells,); negative for none.
    names
        In the order in which clusters shall be numbered. Clusters without a vote follow as ``new_1``, ``new_2``, ….
    join
        Whether clusters of one name become one; if not, they are told apart as ``B cell (1)``, ``B cell (2)``, the largest first.
    """
    every = [*names, *new_names(clustering.n_clusters, names)]
    name_of = np.empty(clustering.n_clusters, dtype=np.int64)
    n_new = 0
    for label in range(clustering.n_clusters):
        votes = voters[(clustering.labels == label) & (voters >= 0)]
        name_of[label] = np.bincount(votes).argmax() if len(votes) else len(names) + n_new
        n_new += not len(votes)
    info = dict(clustering.info)
    if join:
        present, labels = np.unique(name_of[clustering.labels], return_inverse=True)
        if len(present) < clustering.n_clusters:
            number = info["n_clusters"]
            reason = f"{number['reason']}; {len(present)} after those of one name were joined"
            info["n_clusters"] = {**number, "chosen": len(present), "reason": reason}
        return replace(clustering, labels=labels, names=tuple(every[i] for i in present), info=info)
    order = np.argsort(name_of, kind="stable")  # clusters of one name stay in the order of their size
    labels = np.argsort(order)[clustering.labels]
    return replace(clustering, labels=labels, names=_told_apart([every[i] for i in name_of[order]]))


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, those that occur more than once with numbers, so that all differ."""
    free = {name: _numbered(name, names) for name in set(names)}
    return tuple(next(free[name]) if names.count(name) > 1 else name for name in names)


def _numbered(name: str, taken: Sequence[str]) -> Iterator[str]:
    return (numbered for i in count(1) if (numbered := f"{name} ({i})") not in taken)


def new_names(n: int, taken: Sequence[str]) -> list[str]:
    """Return `n` names of new types, ``new_1``, ``new_2``, …, without those that are taken."""
    every = (f"new_{i}" for i in count(1))
    return list(islice((name for name in every if name not in taken), n))
