"""Batches in which every cell comes with one of its nearest neighbours."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.dataloaders import DataSplitter
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import DataLoader, Sampler

from scx._matrix import log_normalized
from scx.model._core.model import DeepClusteringModel
from scx.model._core.rows import like

N_COMPONENTS = 20
"""Principal components in which neighbours are sought."""
MAX_EXACT = 30_000
"""Cells up to which the exact search takes seconds; above, it is approximate."""


def nearest_neighbors(
    counts: sparse.csr_matrix, size_factors: NDArray, n_neighbors: int, seed: int
) -> NDArray[np.int64]:
    """Find the nearest neighbours of each cell in the principal components of log-normalised counts.

    Parameters
    ----------
    counts
        Cells × genes.
    size_factors
        Shape (n_cells,).
    n_neighbors
        Number k of neighbours; fewer where there are not as many other cells.
    seed
        Seed of the approximations that take the place of exact results in large data.

    Returns
    -------
    Row numbers, shape (n_cells, k), without the cell itself.
    """
    import scanpy as sc

    n_cells = counts.shape[0]
    n_neighbors = min(n_neighbors, n_cells - 1)
    n_comps = min(N_COMPONENTS, min(counts.shape) - 1)
    cells = sc.pp.pca(log_normalized(counts, size_factors), n_comps=n_comps, random_state=seed)
    if n_cells <= MAX_EXACT:
        return NearestNeighbors(n_neighbors=n_neighbors).fit(cells).kneighbors(return_distance=False)
    from pynndescent import NNDescent

    found = NNDescent(cells, n_neighbors=n_neighbors + 1, random_state=seed).neighbor_graph[0]
    itself = (found == np.arange(n_cells)[:, None]) | (found < 0)  # negative where the search came up short
    nearest = np.argsort(itself, axis=1, kind="stable")[:, :n_neighbors]
    return np.maximum(np.take_along_axis(found, nearest, axis=1), 0).astype(np.int64)


class PairBatches(Sampler[NDArray[np.int64]]):
    """Append to every batch one random neighbour of each of its cells, in the same order.

    Parameters
    ----------
    batches
        Sampler of batches of row numbers.
    neighbors
        Neighbours of each cell, shape (n_cells, k).
    """

    def __init__(self, batches: Sampler, neighbors: NDArray[np.int64]) -> None:
        self.batches = batches
        self.neighbors = neighbors

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for batch in self.batches:
            cells = np.asarray(batch)
            draw = torch.randint(self.neighbors.shape[1], (len(cells),)).numpy()
            yield np.concatenate([cells, self.neighbors[cells, draw]])


class PairSplitter(DataSplitter):
    """Data splitter of scvi-tools whose training batches are paired.

    Parameters
    ----------
    adata_manager, **kwargs
        As in :class:`scvi.dataloaders.DataSplitter`.
    neighbors
        Neighbours of each cell, shape (n_cells, k); None leaves batches as they are.
    """

    def __init__(self, adata_manager: Any, neighbors: NDArray[np.int64] | None = None, **kwargs: Any) -> None:
        super().__init__(adata_manager, **kwargs)
        self.neighbors = neighbors

    def train_dataloader(self) -> DataLoader:
        """Return batches of n cells followed by their n neighbours."""
        loader = super().train_dataloader()
        if self.neighbors is None:
            return loader
        return like(loader, sampler=PairBatches(loader.sampler, self.neighbors))


class NeighborPairs(DeepClusteringModel):
    """Model whose module has `n_neighbors`: where it is not 0, training batches are paired."""

    _data_splitter_cls = PairSplitter

    def _splitter_kwargs(self) -> dict[str, Any]:
        if not self.module.n_neighbors:
            return {}
        counts = self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator that all else in training draws from
        return {"neighbors": nearest_neighbors(counts, self._size_factors(), self.module.n_neighbors, seed)}
