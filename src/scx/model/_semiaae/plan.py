"""Training of scSemiAAE: pre-training with the likelihood, then training with all losses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from scx.model._core.plan import EpochPlan
from scx.model._core.source import Batch

from .config import AdversarialConfig
from .module import SemiAAEModule

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adadelta": partial(torch.optim.Adadelta, rho=0.95),
}
"""Optimisers of the second phase."""


class AdversarialPlan(EpochPlan):
    """First phase with the likelihood alone, second phase with all losses and the discriminator.

    One training run.

    Parameters
    ----------
    module
        Has a discriminator, and a loss of it.
    config
        Schedule of both phases.
    """

    steps_itself = True
    module: SemiAAEModule
    config: AdversarialConfig

    def __init__(self, module: SemiAAEModule, config: AdversarialConfig) -> None:
        super().__init__(module, config)
        self.automatic_optimization = not self.steps_itself
        self._step = 0

    @property
    def training_epoch(self) -> int:
        """First epoch of the second phase."""
        return int(self.config.pretraining_fraction * self.n_epochs)

    def phases(self) -> dict[str, tuple[int, float]]:
        """Return the first epoch and the learning rate of each phase."""
        return {"pre-training": (0, self.config.lr), "training": (self.training_epoch, self.config.training_lr)}

    def configure_optimizers(self) -> Any:
        """One optimiser for each phase, and one for the discriminator."""
        discriminator = list(self.module.discriminator.parameters())
        own = {id(parameter) for parameter in discriminator}
        others = [parameter for parameter in self.module.parameters() if id(parameter) not in own]
        return [
            torch.optim.Adam(others, lr=self.config.lr, weight_decay=self.config.weight_decay),
            OPTIMIZERS[self.config.optimizer](
                others, lr=self.config.training_lr, weight_decay=self.config.weight_decay
            ),
            torch.optim.Adam(discriminator, lr=self.config.discriminator_lr),
        ]

    def training_step(self, batch: Batch) -> None:
        """Step the autoencoder, and in the second phase the discriminator at its interval."""
        adversarial = self.current_epoch >= self.training_epoch
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        optimizer, discriminator = optimizers[int(adversarial)], optimizers[2]
        for group in optimizer.param_groups:
            group["lr"] = self._rate(self._step / (self.trainer.num_training_batches * self.n_epochs))
        losses = self.module.loss(batch) if adversarial else self.module.pretraining_loss(batch)
        optimizer.zero_grad()
        self.manual_backward(losses["loss"])
        optimizer.step()
        if adversarial and self._step % self.config.discriminator_interval == 0:
            discriminator.zero_grad()  # the generator's loss left gradients there
            self.manual_backward(losses["discriminator_loss"])
            discriminator.step()
        self._step += 1
        self._add(losses)
