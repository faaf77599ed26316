"""Batches that tell which cells they hold."""

from collections.abc import Iterable

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi.dataloaders import DataSplitter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

ROW_KEY = "row"
"""Entry of a batch with the row numbers of its cells, shape (n,)."""


def like(
    loader: DataLoader, *, dataset: Dataset | None = None, sampler: Sampler | Iterable | None = None
) -> DataLoader:
    """Return a loader of whole batches as `loader` is one, in its processes, with another dataset or other batches."""
    return DataLoader(
        loader.dataset if dataset is None else dataset,
        sampler=loader.sampler if sampler is None else sampler,
        batch_size=None,
        num_workers=loader.num_workers,
        persistent_workers=loader.persistent_workers,
        pin_memory=loader.pin_memory,
    )


class RowDataset(Dataset):
    """Adds their row numbers to batches of another dataset.

    Parameters
    ----------
    dataset
        Takes an array of row numbers, and returns a batch.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, rows: list[int] | NDArray) -> dict[str, Tensor]:
        return {**self.dataset[rows], ROW_KEY: torch.as_tensor(np.asarray(rows))}


class RowSplitter(DataSplitter):
    """Data splitter of scvi-tools whose training batches hold the row numbers of their cells."""

    def train_dataloader(self) -> DataLoader:
        """Return training batches with row numbers."""
        loader = super().train_dataloader()
        return like(loader, dataset=RowDataset(loader.dataset))


class RowTargets(Callback):
    """Add to each batch, as ``"target"``, the rows of a target that belong to its cells.

    Parameters
    ----------
    target
        One row per cell, shape (n_cells, n); None as long as there is none.
    """

    def __init__(self, target: Tensor | None = None) -> None:
        self.target = target

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: dict[str, Tensor], batch_idx: int
    ) -> None:
        """Add the target of its cells to the batch."""
        if self.target is not None:
            rows = batch[ROW_KEY]
            batch["target"] = self.target[rows.to(self.target.device)].to(rows.device)
