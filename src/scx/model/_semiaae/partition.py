"""Clusters with the names of known types."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import fixed_n_clusters
from scx._clustering.naming import named_after, new_names
from scx._clustering.types import Partition, Prediction

from .guidance import UNREACHED, Guidance


def partition_by_type(
    proba: NDArray[np.float32], types: tuple[str, ...], guidance: Guidance, n_clusters: int | None
) -> Partition:
    """Give each cell its most probable type, or a new type where labels do not reach.

    Parameters
    ----------
    proba
        Probability of each known type, shape (n_cells, n_types).
    types
        Names of the known types.
    guidance
        What the labels say of all cells.
    n_clusters
        Largest number of known and new types; None for no limit.
    """
    n_types, group = len(types), guidance.group
    if n_clusters is not None:
        group = np.where(group < n_clusters - n_types, group, -1)
    n_new = int(group.max()) + 1
    names = [*types, *new_names(n_new, types)]
    present, labels = np.unique(np.where(group >= 0, n_types + group, proba.argmax(axis=1)), return_inverse=True)
    n_known = int((present < n_types).sum())
    reason = f"{n_known} of {n_types} known types, and {n_new} groups of cells that labels do not reach"
    found = Partition(
        labels,
        names=tuple(names[i] for i in present),
        info={"n_clusters": fixed_n_clusters(len(present), reason).info, "cluster": "types"},
    )
    confidence = proba.max(axis=1) * np.minimum(guidance.reach / UNREACHED, 1).astype(np.float32)
    return _with_prediction(found, types, proba, confidence, guidance.calibration)


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
