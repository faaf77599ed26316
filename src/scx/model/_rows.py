"""Batches that tell which cells they hold."""

import numpy as np
import torch
from numpy.typing import NDArray
from scvi.dataloaders import DataSplitter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

ROW_KEY = "row"
"""Entry of a batch with the row numbers of its cells, shape (n,)."""


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
        return DataLoader(RowDataset(loader.dataset), sampler=loader.sampler, batch_size=None)
