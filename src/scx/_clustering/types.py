"""Clusters of cells, and what is predicted of known types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
class Partition:
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
