"""Training batches: which cells, in which order."""

from collections.abc import Iterable

import numpy as np
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi import settings
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from .source import Batch, CellSource

type Rows = Iterable[list[int] | NDArray[np.int64]]
"""Row numbers of the cells of each batch."""


def cell_loader(source: CellSource, batches: Rows) -> DataLoader[Batch]:
    """Return a loader of whole batches, with the workers of ``scvi.settings``."""
    return DataLoader(
        source,
        sampler=batches,
        batch_size=None,
        num_workers=settings.dl_num_workers,
        persistent_workers=settings.dl_persistent_workers,
    )


def shuffled(source: CellSource, batch_size: int, *, drop_last: bool) -> BatchSampler:
    """Return random batches of all cells, in another order in each epoch."""
    return BatchSampler(RandomSampler(source), batch_size, drop_last)


class TrainingData(LightningDataModule):
    """All cells as training data.

    Parameters
    ----------
    source
        Cells.
    batches
        Row numbers of the cells of each batch; iterated anew in each epoch.
    """

    def __init__(self, source: CellSource, batches: Rows) -> None:
        super().__init__()
        self.source = source
        self.batches = batches
        self.train_idx = np.arange(source.n_obs)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches."""
        return cell_loader(self.source, self.batches)


class RowTargets(Callback):
    """Set the target of each batch to the rows of a matrix that belong to its cells.

    Parameters
    ----------
    target
        One row per cell, shape (n_cells, k); None sets nothing.
    """

    def __init__(self, target: Tensor | None = None) -> None:
        self.target = target

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Set the target of the batch."""
        if self.target is not None:
            batch.target = self.target[batch.rows.to(self.target.device)].to(batch.rows.device)
