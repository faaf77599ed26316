"""What new cells are compared with: clusters of the cells of training, and what is unlike these."""

from dataclasses import dataclass

from scx._clustering import outliers, types
from scx._clustering.outliers import Outliers
from scx._clustering.types import Clusters


@dataclass(frozen=True)
class Reference:
    """Clusters for new cells, and what says whether a cell is unlike all cells of training."""

    clusters: Clusters
    outliers: Outliers


STORED = (Reference, *types.STORED, *outliers.STORED)
"""Classes whose instances are saved, see :func:`scx._pack.pack`."""
