"""When to stop training, without labels."""

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from scvi.train import LoudEarlyStopping
from torch import Tensor

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel

N_CELLS = 1000
"""Cells whose neighbours are followed, a random sample of more."""
N_NEIGHBORS = 15
"""Neighbours of each cell among them."""
EARLY_STOPPING: dict[str, Any] = {
    "early_stopping_monitor": "instability",
    "early_stopping_min_delta": 0.01,
    "early_stopping_patience": 10,
}
"""Arguments of :class:`scvi.train.Trainer` where early stopping is asked for."""


class Instability(Callback):
    """Log for each epoch, as ``instability``, the share of nearest neighbours in the embedding that it exchanged for others.

    It is 0 if every cell of a sample keeps its neighbours, and falls as the embedding settles; at a constant learning rate it
    comes to a level above 0. Neighbours depend neither on how many clusters there are nor on how the embedding is turned or
    scaled. Training stops early in its last phase only: an embedding that settles before is what the next begins from.

    Parameters
    ----------
    model
        Model in training.
    """

    def __init__(self, model: "DeepClusteringModel") -> None:
        self.model = model

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the cells, find their neighbours before the first step, and have early stopping wait for the last phase."""
        before = max([0, *(first - 1 for first in pl_module.phase_starts().values())])
        for stopping in trainer.early_stopping_callbacks:
            if isinstance(stopping, LoudEarlyStopping):  # that of scvi-tools; any other is the user's own
                stopping.warmup_epochs = max(stopping.warmup_epochs, before)
        n_obs = self.model.adata.n_obs
        # A generator of its own, so that a run takes the same course whether it is watched or not.
        self._cells = np.sort(np.random.default_rng(0).choice(n_obs, min(N_CELLS, n_obs), replace=False))
        self._neighbors = self._find_neighbors()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the neighbours of each cell with those before the epoch."""
        before, self._neighbors = self._neighbors, self._find_neighbors()
        kept = (before[:, :, None] == self._neighbors[:, None, :]).any(dim=2)
        pl_module.log("instability", 1 - kept.float().mean(), prog_bar=True)

    def _find_neighbors(self) -> Tensor:
        """Return the neighbours of each cell, shape (n_cells, n_neighbors)."""
        embedding = self.model.embed_while_training(self._cells)
        distances = torch.cdist(embedding, embedding)
        distances.fill_diagonal_(torch.inf)
        return distances.topk(min(N_NEIGHBORS, len(embedding) - 1), largest=False).indices
