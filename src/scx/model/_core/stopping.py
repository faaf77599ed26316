"""When to stop training, without labels."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi.train import LoudEarlyStopping
from torch import Tensor

from .plan import EpochPlan

N_CELLS = 1000
"""Cells whose neighbours are followed; a random sample if there are more."""
N_NEIGHBORS = 15
"""Neighbours of each cell among them."""
EARLY_STOPPING: dict[str, Any] = {
    "early_stopping_monitor": "instability",
    "early_stopping_min_delta": 0.01,
    "early_stopping_patience": 10,
}
"""Arguments of :class:`scvi.train.Trainer` for early stopping."""


class Instability(Callback):
    """Log the share of nearest neighbours in the embedding that changed in each epoch.

    ``instability`` is 0 if every cell of a sample keeps its neighbours, and falls as the
    embedding settles. At a constant learning rate it reaches a level above 0. Neighbours depend
    neither on the number of clusters nor on rotations and scale of the embedding. Only the last
    phase of training stops early: the next phase begins from an embedding that settled before.

    Parameters
    ----------
    embed
        Returns the current embedding of the cells in some rows, shape (n, n_latent).
    n_obs
        Number of cells.
    """

    def __init__(self, embed: Callable[[NDArray[np.int64]], Tensor], n_obs: int) -> None:
        self.embed = embed
        # A generator of its own, so that watching a run does not change it.
        self._rows = np.sort(np.random.default_rng(0).choice(n_obs, min(N_CELLS, n_obs), replace=False))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the neighbours before the first step; let early stopping wait for the last phase."""
        phase_starts = cast("EpochPlan", pl_module).phase_starts()
        n_epochs_before = max([0, *(first - 1 for first in phase_starts.values())])
        for stopping in trainer.early_stopping_callbacks:
            if isinstance(stopping, LoudEarlyStopping):  # that of scvi-tools; any other is the user's own
                stopping.warmup_epochs = max(stopping.warmup_epochs, n_epochs_before)
        self._neighbors = self._find_neighbors()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare the neighbours of each cell with those before the epoch."""
        before, self._neighbors = self._neighbors, self._find_neighbors()
        kept = (before[:, :, None] == self._neighbors[:, None, :]).any(dim=2)
        pl_module.log("instability", 1 - kept.float().mean(), prog_bar=True)

    def _find_neighbors(self) -> Tensor:
        """Return the neighbours of each cell, shape (n_cells, n_neighbors)."""
        embedding = self.embed(self._rows)
        distances = torch.cdist(embedding, embedding)
        distances.fill_diagonal_(torch.inf)
        return distances.topk(min(N_NEIGHBORS, len(embedding) - 1), largest=False).indices
