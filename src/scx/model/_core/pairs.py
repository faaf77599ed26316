"""What contrastive methods share: cells with neighbours, and embeddings with components."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, Sampler

from scx._clustering.loadings import MAX_CELLS, fit_loadings
from scx._compat import auto_move_data
from scx._config import Range, Rate, Temperature

from .loaders import Rows
from .model import DeepClusteringModel
from .module import DeepClusteringModule
from .neighbors import nearest_neighbors
from .normalize import LogNormalize
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
    n_components: Annotated[int, Range(0, 1000)] = 0
    """Principal components of the normalised expression that stand beside the output of the network
    in the embedding, both with the same total variance; 0 for none. With batches there are none."""


class PairModule(DeepClusteringModule):
    """Module that learns from two views of each cell.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Network, views and embedding.
    n_outputs
        Number of outputs of the network.
    """

    config: PairConfig
    center: Tensor
    scale: Tensor
    loadings: Tensor

    def __init__(self, n_genes: int, config: PairConfig, n_outputs: int) -> None:
        super().__init__()
        self.config = config
        self.normalize = LogNormalize(n_genes, config.max_value)
        if config.n_components:
            # of the outputs of all cells of training: mean, and root of the variance in all
            self.register_buffer("center", torch.zeros(n_outputs))
            self.register_buffer("scale", torch.ones(()))
            # to components whose variance in all is 1
            self.register_buffer("loadings", torch.zeros(n_genes, min(config.n_components, n_genes)))

    def represent(self, x: Tensor) -> Tensor:
        """Return the output of the network for normalised expression, shape (n, n_outputs)."""
        output: Tensor = self.encoder(x)
        return output

    @auto_move_data
    def output(self, batch: Batch) -> Tensor:
        """Return the output of the network for a batch, shape (n, n_outputs)."""
        return self.represent(self.normalized(batch))

    def encode(self, x: Tensor) -> Tensor:
        """Return the output of the network and the principal components, side by side."""
        if not self.config.n_components:
            return self.represent(x)
        return torch.cat([(self.represent(x) - self.center) / self.scale, x @ self.loadings], dim=1)

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

    def _make_module(self, config: ModuleConfig) -> DeepClusteringModule:
        assert isinstance(config, PairConfig)
        if self.registry_["setup_args"].get("batch_key") is not None:  # components differ between batches
            config = replace(config, n_components=0)
        return super()._make_module(config)

    @torch.inference_mode()
    def _fit_normalization(self) -> None:
        super()._fit_normalization()
        n_components = self.module.config.n_components
        if not n_components:
            return
        with torch.random.fork_rng(devices=[]):  # the network is trained as without components
            seed = int(torch.randint(2**31 - 1, ()))
            rows = np.sort(np.random.default_rng(seed).permutation(self.adata.n_obs)[:MAX_CELLS])
            values = np.concatenate(list(self.expression(rows)))
        mean, components = fit_loadings(values, n_components, seed)
        total = ((values - mean) @ components).var(axis=0).sum()
        if total > 0:
            components = components / np.sqrt(total)
        self.module.loadings[:, : components.shape[1]] = torch.from_numpy(components)

    def _settle(self) -> None:
        super()._settle()
        if self.module.config.n_components:
            outputs = self.while_training(self.module.output).double()
            self.module.center.copy_(outputs.mean(dim=0))
            self.module.scale.copy_(outputs.var(dim=0, correction=0).sum().sqrt())

    def _check_separates(self, embedding: NDArray[np.float32]) -> None:
        if self.module.config.n_components:  # the components would hide that the network has collapsed
            embedding = self.while_training(self.module.output).cpu().numpy()
        super()._check_separates(embedding)

    def _training_batches(self, batches: BatchSampler) -> Rows:
        n_neighbors = self.module.config.n_neighbors
        if not n_neighbors:
            return batches
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator of the training
        neighbors = nearest_neighbors(self.source(), self.size_factors(), n_neighbors, seed, self.preparation_.batches)
        return PairBatches(batches, neighbors)
