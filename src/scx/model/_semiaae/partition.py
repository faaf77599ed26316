"""Clusters with the names of known types."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import fixed_n_clusters
from scx._clustering.naming import named_after, new_names
from scx._clustering.rules import NeighborVote
from scx._clustering.types import Assignment, Partition, Prediction

from .guidance import UNREACHED, Guidance

MAX_CELLS = 10_000
"""Cells of training that say of new cells whether labels reach them; a random sample of more."""
N_NEIGHBORS = 15
"""Nearest of these cells that say it."""


@dataclass(frozen=True)
class MostProbableType:
    """The most probable known type, or the new type of most of the nearest cells of training.

    Points are embedding and probabilities of cells, side by side.

    Parameters
    ----------
    n_types
        Number of known types, and of the last columns of points.
    vote
        New type of each cell of training by its embedding; 0 for none.
    """

    n_types: int
    vote: NeighborVote

    def assign(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the known type of each point, or `n_types` plus its new type."""
        embedding, proba = np.split(points, [-self.n_types], axis=1)
        new = self.vote.assign(embedding)
        return np.where(new > 0, self.n_types + new - 1, proba.argmax(axis=1))


@dataclass(frozen=True)
class Probability:
    """Probability of the most probable known type.

    Parameters
    ----------
    n_types
        As in :class:`MostProbableType`.
    """

    n_types: int

    def posterior(self, points: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the confidence for each point, shape (n_points,), whatever its label."""
        return points[:, -self.n_types :].max(axis=1).astype(np.float32)


@dataclass(frozen=True)
class ReachedProbability:
    """Probability of the most probable known type, lowered where labels hardly reach.

    Parameters
    ----------
    n_types
        As in :class:`MostProbableType`.
    embedding
        Of cells of training, shape (n_cells, n_latent).
    reach
        How well labels reach them, in [0, 1], shape (n_cells,).
    """

    n_types: int
    embedding: NDArray[np.float32]
    reach: NDArray[np.float32]

    def posterior(self, points: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the confidence for each point, shape (n_points,), whatever its label."""
        from sklearn.neighbors import KNeighborsRegressor

        embedding, proba = np.split(points, [-self.n_types], axis=1)
        nearest = KNeighborsRegressor(min(N_NEIGHBORS, len(self.embedding))).fit(self.embedding, self.reach)
        confidence: NDArray[np.float32] = (proba.max(axis=1) * nearest.predict(embedding)).astype(np.float32)
        return confidence


STORED = (MostProbableType, Probability, ReachedProbability)
"""Classes whose instances are saved."""


def partition_by_type(
    embedding: NDArray[np.float32],
    proba: NDArray[np.float32],
    types: tuple[str, ...],
    guidance: Guidance,
    n_clusters: int | None,
    seed: int,
) -> Partition:
    """Give each cell its most probable type, or a new type where labels do not reach.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_latent).
    proba
        Probability of each known type, shape (n_cells, n_types).
    types
        Names of the known types.
    guidance
        What the labels say of all cells.
    n_clusters
        Largest number of known and new types; None for no limit.
    seed
        Draws the cells that are kept for new cells.
    """
    n_types, group = len(types), guidance.group
    if n_clusters is not None:
        group = np.where(group < n_clusters - n_types, group, -1)
    n_new = int(group.max()) + 1
    names = np.array([*types, *new_names(n_new, types)])
    present, labels = np.unique(np.where(group >= 0, n_types + group, proba.argmax(axis=1)), return_inverse=True)
    order = np.concatenate([present, np.setdiff1d(np.arange(len(names)), present)])
    n_known = int((present < n_types).sum())
    reach = np.minimum(guidance.reach / UNREACHED, 1).astype(np.float32)
    cells = np.random.default_rng(seed).permutation(len(labels))[:MAX_CELLS]
    known = embedding[cells]
    assignment = Assignment(
        MostProbableType(n_types, NeighborVote(known, group[cells] + 1)),
        ReachedProbability(n_types, known, reach[cells]),
        np.argsort(order),
        tuple(names[order[len(present) :]].tolist()),
    )
    reason = f"{n_known} of {n_types} known types, and {n_new} groups of cells that labels do not reach"
    found = Partition(
        labels,
        names=tuple(names[present].tolist()),
        info={"n_clusters": fixed_n_clusters(len(present), reason).info, "cluster": "types"},
        assignment=assignment,
    )
    return _with_prediction(found, types, proba, proba.max(axis=1) * reach, guidance.calibration)


def partition_by_vote(
    embedding: NDArray[np.float32],
    proba: NDArray[np.float32],
    codes: NDArray[np.int64],
    types: tuple[str, ...],
    n_clusters: int | None,
    algorithm: str,
    seed: int,
) -> Partition:
    """Cluster embedding and probabilities together; labelled cells vote for the name of a cluster.

    Parameters
    ----------
    embedding
        Shape (n_cells, n_latent).
    proba
        Probability of each known type, shape (n_cells, n_types).
    codes
        Known type of each cell, −1 if unlabelled, shape (n_cells,).
    types
        Names of the known types.
    n_clusters
        Number of clusters; None for as many as known types, and 2 at least.
    algorithm, seed
        As in :func:`scx._clustering.fit.fit_partition`.
    """
    features = np.concatenate([embedding, proba], axis=1)
    found = fit_partition(features, n_clusters or max(2, len(types)), algorithm, seed)
    if n_clusters is None:
        number = fixed_n_clusters(found.n_clusters, "as many as known types, and 2 at least").info
        found = replace(found, info={**found.info, "n_clusters": number})
    # A cluster with few labels for its size keeps no name from them.
    share = np.bincount(found.labels, codes >= 0) / np.bincount(found.labels)
    votes = share >= UNREACHED * (codes >= 0).mean()
    found = named_after(found, np.where(votes[found.labels], codes, -1), types, join=False)
    assert found.assignment is not None
    found = replace(found, assignment=replace(found.assignment, confidence=Probability(len(types))))
    calibration = {"temperature": 1.0, "reason": "not calibrated: trained on all labels, none was held back"}
    return _with_prediction(found, types, proba, proba.max(axis=1), calibration)


def _with_prediction(
    found: Partition,
    types: tuple[str, ...],
    proba: NDArray[np.float32],
    confidence: NDArray[np.float32],
    calibration: Mapping[str, Any],
) -> Partition:
    return replace(found, prediction=Prediction(types, proba, {"calibration": calibration}), confidence=confidence)
