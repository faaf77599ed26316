"""What new cells are compared with: clusters of the cells of training, and what is unlike these."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scx._clustering import outliers, types
from scx._clustering.outliers import Outliers
from scx._clustering.types import Clusters, Partition


@dataclass(frozen=True)
class Reference:
    """Clusters for new cells, and what says whether a cell is unlike all cells of training."""

    clusters: Clusters
    outliers: Outliers


@dataclass(frozen=True)
class Mapped:
    """New cells among those of training."""

    embedding: NDArray[np.float32]
    """Shape (n_cells, n_latent)."""
    partition: Partition
    """Their clusters."""
    score: NDArray[np.float64]
    """How unlike the cells of training they are, shape (n_cells,)."""


STORED = (Reference, *types.STORED, *outliers.STORED)
"""Classes whose instances are saved, see :func:`scx._pack.pack`."""
