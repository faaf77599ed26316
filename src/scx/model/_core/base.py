"""Cells and embeddings of a model: what it has before and after training."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray
from torch import Tensor

from scx._anndata import check_some_cells
from scx._checks import check_positive_int
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import NClusters
from scx._clustering.reference import Mapped
from scx._clustering.types import Partition
from scx._rng import exclusively
from scx._types import typed

from .attributions import Groups, clusters_as_groups
from .setup import ModelSetup
from .source import BATCH_SIZE, Batch, CellSource, row_numbers


class EmbeddingModel(ModelSetup):
    """Model with normalisation inside, and an embedding."""

    def source(self, adata: AnnData | None = None) -> CellSource:
        """Return the cells of `adata` as the model reads them; None for the cells of training."""
        adata = self.adata if adata is None else adata
        if adata is None:
            msg = "The model was loaded without data: pass `adata`."
            raise ValueError(msg)
        check_some_cells(adata)
        return self.preparation_.source(adata, are_counts=self.module.normalize.log)

    def query(self, adata: AnnData, layer: str | None, gene_key: str | None) -> CellSource:
        """Return new cells as the model reads them; genes they lack are those of the average cell.

        Parameters
        ----------
        adata
            Cells × genes.
        layer
            Layer with counts; None for ``X``.
        gene_key
            Column of ``var`` with the names of genes; None for ``var_names``.
        """
        normalize = self.module.normalize
        preparation = replace(self.preparation_, layer=layer)
        return preparation.source(adata, gene_key, average=normalize.average, are_counts=normalize.log)

    @typed
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        adata
            AnnData with the fields of the one the model was set up with; None for that one. Genes
            are matched by name: they may be in any order, and there may be others. It is not
            changed.
        indices
            Cells to embed, in this order; None for all.
        batch_size
            Cells per batch. It does not change the result, except for models whose cells attend to
            each other (:class:`CICL` with ``attention="batch"``): their default is the batch size
            of the training, and cells are embedded in random batches, the same for every call.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        return self._for_cells(self.module.embed, adata, indices, batch_size)

    def _cell_names(self, adata: AnnData | None, indices: Sequence[int] | NDArray[Any] | None) -> pd.Index:
        """Return the names of the cells that `indices` gives, in this order."""
        names = (self.adata if adata is None else adata).obs_names
        return names if indices is None else names[np.asarray(indices)]

    def partition(
        self,
        embedding: NDArray[np.float32],
        n_clusters: NClusters,
        algorithm: str,
        seed: int,
        resolution: float | None = None,
    ) -> Partition:
        """Cluster the cells of training. Models that know more than the embedding override this.

        Parameters
        ----------
        embedding
            Their embedding, shape (n_cells, n_latent).
        n_clusters, algorithm, seed, resolution
            As in :func:`scx._clustering.fit.fit_partition`.

        Returns
        -------
        Clusters. They may have names and a prediction of known types.
        """
        return fit_partition(embedding, n_clusters, algorithm, seed, resolution)

    def features(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what clusters are found in, shape (n_cells, n_features): the embedding."""
        return embedding

    def assign(self, embedding: NDArray[np.float32]) -> Partition:
        """Give new cells, by their embedding of shape (n_cells, n_latent), clusters of training."""
        assert self.reference_ is not None
        clusters = self.reference_.clusters
        labels, confidence = clusters.assignment.assign(self.features(embedding))
        return Partition(labels, clusters.names, confidence)

    @property
    def gene_variance(self) -> "pd.Series[float]":
        """Variance of each gene in training, before it was scaled, by its name."""
        return pd.Series(self.module.normalize.variance, self.preparation_.genes)

    @torch.inference_mode()
    def embed_cells(self, cells: CellSource) -> NDArray[np.float32]:
        """Return the embedding of cells, shape (n_cells, n_latent)."""
        return self._in_batches(self.module.embed, cells, np.arange(cells.n_obs)).cpu().numpy()

    @exclusively
    @torch.inference_mode()
    def map_cells(self, cells: CellSource) -> Mapped:
        """Return embedding and clusters of new cells, and how unlike those of training they are."""
        assert self.reference_ is not None
        outliers = self.reference_.outliers
        center, components = (
            torch.from_numpy(array).to(self.device) for array in (outliers.center, outliers.components)
        )

        def both(batch: Batch) -> Tensor:
            projection = (self.module.normalized(batch) - center) @ components
            return torch.cat([self.module.embed(batch), projection], dim=1)

        joint = self._in_batches(both, cells, np.arange(cells.n_obs)).cpu().numpy()
        embedding, projection = np.split(joint, [-components.shape[1]], axis=1)
        embedding = np.ascontiguousarray(embedding)
        return Mapped(embedding, self.assign(embedding), outliers.score(embedding, projection))

    def explained_groups(self) -> Groups:
        """Return the groups of cells that genes can explain: the clusters of training.

        Raise ValueError if there are none.
        """
        if self.reference_ is None:
            msg = (
                "`model` has no clusters. Train it with a method of `scx.tl`, which clusters the cells and saves the "
                "clusters in `model_dir`."
            )
            raise ValueError(msg)
        return clusters_as_groups(self.reference_.clusters)

    @exclusively
    @torch.inference_mode()
    def _for_cells(
        self,
        function: Callable[[Batch], Tensor],
        adata: AnnData | None,
        indices: Sequence[int] | NDArray[Any] | None,
        batch_size: int | None,
    ) -> NDArray[np.float32]:
        """Return what a function of the module gives for each cell, in the order of `indices`."""
        self._check_if_trained(warn=False)
        cells = self.source(adata)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        rows = np.arange(cells.n_obs) if indices is None else row_numbers(indices, cells.n_obs)
        distinct, places = np.unique(rows, return_inverse=True)
        return self._in_batches(function, cells, distinct, batch_size).cpu().numpy()[places]

    def _in_batches(
        self,
        function: Callable[[Batch], Tensor],
        cells: CellSource,
        rows: NDArray[np.int64],
        batch_size: int | None = None,
    ) -> Tensor:
        """Apply a function of the module to cells in batches.

        Return its rows in the order of `rows`, which increase.
        """
        if not self.module.embeds_in_context:
            return torch.cat([function(batch) for batch in cells.batches(rows, batch_size or BATCH_SIZE)])
        # Cells are embedded among as many others as in training, drawn at random.
        n_batches = math.ceil(len(rows) / (batch_size or self.batch_size_))
        shuffled = np.random.default_rng(0).permutation(len(rows))
        parts = [np.sort(part) for part in np.array_split(shuffled, n_batches)]
        embedded = torch.cat([function(cells.checked(cells[rows[part]])) for part in parts])
        order = torch.from_numpy(np.argsort(np.concatenate(parts)))
        return embedded[order.to(embedded.device)]

    def embed_while_training(self, rows: NDArray[np.int64] | None = None) -> Tensor:
        """Return the current embedding of cells of training, see :meth:`while_training`."""
        return self.while_training(self.module.embed, rows)

    @torch.no_grad()
    def while_training(self, function: Callable[[Batch], Tensor], rows: NDArray[np.int64] | None = None) -> Tensor:
        """Return what a function of the module gives now for cells of training, shape (n_cells, n).

        Parameters
        ----------
        function
            Is given batches of cells.
        rows
            Row numbers, increasing; None for all cells.
        """
        is_training = self.module.training
        self.module.eval()
        try:
            rows = np.arange(self.adata.n_obs) if rows is None else rows
            return self._in_batches(function, self.source(), rows)
        finally:
            self.module.train(is_training)

    @contextmanager
    def _statistics_restored(self) -> Iterator[None]:
        """Restore the running statistics of the encoder's batch normalisation on leaving."""
        before = {name: buffer.clone() for name, buffer in self.module.encoder.named_buffers()}
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in self.module.encoder.named_buffers():
                    buffer.copy_(before[name])
