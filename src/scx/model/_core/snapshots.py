"""The embedding after chosen epochs of training."""

from collections.abc import Callable, Collection

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray


class Snapshots(Callback):
    """Embed all cells at the end of chosen epochs. This does not change the training.

    Parameters
    ----------
    embed
        Returns the embedding of all cells if training ended now, shape (n_cells, n_latent).
    epochs
        Epochs, counted from 1; 0 is before the first step.
    """

    def __init__(self, embed: Callable[[], NDArray[np.float32]], epochs: Collection[int]) -> None:
        self.embed = embed
        self.epochs = {int(epoch) for epoch in epochs}
        self.embeddings: dict[int, NDArray[np.float32]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Embed the cells before the first step."""
        self._take(0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Embed the cells after an epoch."""
        self._take(trainer.current_epoch + 1)

    def _take(self, epoch: int) -> None:
        if epoch in self.epochs:
            self.embeddings[epoch] = self.embed()
