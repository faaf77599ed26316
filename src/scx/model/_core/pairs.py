"""Training batches in which every cell comes with one of its nearest neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, Sampler

from scx._config import Range, Rate, Temperature

from .loaders import Rows
from .model import DeepClusteringModel
from .module import DeepClusteringModule
from .neighbors import nearest_neighbors
from .recipe import ModuleConfig
from .source import Batch


@dataclass(frozen=True, kw_only=True)
class PairConfig(ModuleConfig):
    """Two views of each cell: the fields that contrastive methods share."""

    n_neighbors: Annotated[int, Range(0, 1000)]
    """The second view is one of a random neighbour of the cell, of this many nearest ones; 0 for
    one of the cell itself."""
    mask_rate: Rate
    """Probability of masking a gene in a view. The other values are divided by 1 − `mask_rate`, as
    in dropout."""
    temperature: Temperature
    """T, by which similarities are divided in the losses."""


class PairModule(DeepClusteringModule):
    """Module that learns from two views of each cell."""

    config: PairConfig

    def _batches_of_views(self, batch: Batch) -> Tensor | None:
        """Return the batch of each view, shape (2n,); None without batches."""
        if batch.batch is None or self.config.n_neighbors:
            return batch.batch
        return batch.batch.repeat(2)


class PairBatches(Sampler[NDArray[np.int64]]):
    """Append one random neighbour of each cell to every batch, in the same order.

    Parameters
    ----------
    batches
        Row numbers of the cells of each batch.
    neighbors
        Neighbours of each cell, shape (n_cells, k).
    """

    def __init__(self, batches: BatchSampler, neighbors: NDArray[np.int64]) -> None:
        self.batches = batches
        self.neighbors = neighbors

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for batch in self.batches:
            cells = np.asarray(batch)
            drawn = torch.randint(self.neighbors.shape[1], (len(cells),)).numpy()
            yield np.concatenate([cells, self.neighbors[cells, drawn]])


class PairModel(DeepClusteringModel):
    """Model that trains on cells with one neighbour each, unless `n_neighbors` is 0."""

    knows_batches = True
    module: PairModule

    def _training_batches(self, batches: BatchSampler) -> Rows:
        n_neighbors = self.module.config.n_neighbors
        if not n_neighbors:
            return batches
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator of the training
        neighbors = nearest_neighbors(self.source(), self.size_factors(), n_neighbors, seed, self.preparation_.batches)
        return PairBatches(batches, neighbors)
