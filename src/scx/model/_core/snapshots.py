"""The embedding at moments of training."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel


class Snapshots(Callback):
    """Embed all cells at the end of chosen epochs. Training takes the same course with it and without.

    Parameters
    ----------
    model
        Model in training.
    epochs
        Epochs, counted from 1; 0 is the moment before the first step.
    """

    def __init__(self, model: "DeepClusteringModel", epochs: Collection[int]) -> None:
        self.model = model
        self.epochs = {int(epoch) for epoch in epochs}
        self.embeddings: dict[int, NDArray[np.float32]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Embed the cells before the first step."""
        self._take(0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Embed the cells after an epoch."""
        self._take(trainer.current_epoch + 1)

    def _take(self, epoch: int) -> None:
        if epoch in self.epochs:
            self.embeddings[epoch] = self.model.snapshot()
