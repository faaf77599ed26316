"""Training of ScInfoVAE in two phases: autoencoder, then clustering."""

from collections.abc import Callable

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from scx._clustering.fit import fit_partition
from scx.model._core.loaders import RowTargets
from scx.model._core.losses import sharpened_target, student_t
from scx.model._core.plan import EpochPlan

from .config import TwoPhaseConfig
from .module import InfoVAEModule


class TwoPhasePlan(EpochPlan):
    """First phase without, second phase with the clustering loss; one training run."""

    module: InfoVAEModule
    config: TwoPhaseConfig

    @property
    def clustering_epoch(self) -> int:
        """First epoch of the second phase; the number of epochs if there is no second phase."""
        fraction = 0.0 if self.module.config.n_clusters is None else self.config.clustering_fraction
        return self.n_epochs - int(fraction * self.n_epochs)

    def phases(self) -> dict[str, tuple[int, float]]:
        """Return the first epoch and the learning rate of each phase."""
        return {"autoencoder": (0, self.config.lr), "clustering": (self.clustering_epoch, self.config.clustering_lr)}


class ClusteringPhase(RowTargets):
    """Second phase: centres by KMeans, then a target for every cell, renewed at intervals.

    Parameters
    ----------
    embed
        Returns the current embedding of all cells, shape (n_cells, n_latent).
    """

    def __init__(self, embed: Callable[[], Tensor]) -> None:
        super().__init__()
        self.embed = embed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the first centres when the phase begins, and reset the momenta of the optimiser."""
        assert isinstance(pl_module, TwoPhasePlan)
        if trainer.current_epoch == pl_module.clustering_epoch:
            module = pl_module.module
            embedding = self.embed()
            seed = int(torch.randint(2**31 - 1, ()))  # from the generator of the training
            labels = fit_partition(embedding.cpu().numpy(), module.config.n_clusters, "kmeans", seed).labels
            for k in np.unique(labels):
                module.centers.data[k] = embedding[torch.from_numpy(labels == k).to(embedding.device)].mean(dim=0)
            optimizer = pl_module.optimizers()
            assert isinstance(optimizer, LightningOptimizer)
            optimizer.state.clear()
            self._renew_target(module, embedding)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Renew the target after each `refresh_interval` epochs."""
        assert isinstance(pl_module, TwoPhasePlan)
        n_trained = trainer.current_epoch + 1 - pl_module.clustering_epoch
        is_due = n_trained > 0 and n_trained % pl_module.config.refresh_interval == 0
        if is_due and trainer.current_epoch + 1 < pl_module.n_epochs:
            self._renew_target(pl_module.module, self.embed())

    def _renew_target(self, module: InfoVAEModule, embedding: Tensor) -> None:
        """Set the target from the current assignment of all cells."""
        self.target = sharpened_target(student_t(embedding, module.centers))
