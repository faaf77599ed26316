"""Arrays of cells: their types, and how they are read in chunks."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

type Points = NDArray[np.floating]
"""Embedding of cells, shape (n_cells, n_dims), in single or double precision."""
type Labels = NDArray[np.int64]
"""Cluster of each cell, shape (n_cells,)."""

CHUNK = 65_536
"""Cells in a chunk, so that arrays of cells × clusters stay smaller than the embedding."""


def chunks(n_cells: int) -> Iterator[slice]:
    """Yield slices that cover all cells in order."""
    return (slice(start, start + CHUNK) for start in range(0, n_cells, CHUNK))


def labels_in_chunks(label: Callable[[Points], NDArray[np.integer]], points: Points) -> Labels:
    """Return the labels that a function gives to each chunk of points."""
    labels = np.empty(len(points), dtype=np.int64)
    for chunk in chunks(len(points)):
        labels[chunk] = label(points[chunk])
    return labels
