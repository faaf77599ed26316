"""Training plans: only the schedule, no mathematics of a method."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from .module import DeepClusteringModule
from .recipe import TrainingConfig
from .source import Batch
from .trainer import Diverged, are_finite


class EpochPlan(LightningModule):
    """Adam, and one log per epoch.

    The plan returns the loss and keeps detached running sums. scvi-tools' own plan spends more time
    on metrics and logging at every step than small networks need for their gradients.

    Parameters
    ----------
    module
        Its :meth:`~scx.model._core.module.DeepClusteringModule.loss` is minimised.
    config
        Schedule.
    """

    steps_itself: ClassVar[bool] = False
    """Whether the plan, and not Lightning, steps its optimisers."""

    def __init__(self, module: DeepClusteringModule, config: TrainingConfig) -> None:
        super().__init__()
        self.module = module
        self.config = config
        self._sums: dict[str, Tensor] = {}
        self._n_steps: Counter[str] = Counter()

    def configure_optimizers(self) -> Any:
        """Adam, and the schedule of its learning rate step by step."""
        # The schedule returns the rate itself, so the base rate is 1.
        optimizer = torch.optim.Adam(self.module.parameters(), lr=1.0, weight_decay=self.config.weight_decay)
        n_steps = self.trainer.estimated_stepping_batches
        if self.config.schedule_epochs is not None:
            n_steps = n_steps * self.config.schedule_epochs / self.n_epochs
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step / n_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rates by the name of their field."""
        return {name: value for name, value in asdict(self.config).items() if name == "lr" or name.endswith("_lr")}

    @property
    def n_epochs(self) -> int:
        """Number of epochs of the training, if nothing ends it early."""
        n_epochs = self.trainer.max_epochs
        assert n_epochs is not None
        return n_epochs

    def phases(self) -> dict[str, tuple[int, float]]:
        """Return, by name, the first epoch of each phase, counted from 0, and its learning rate.

        A phase without epochs begins where the next phase does, or at the number of epochs.
        """
        return {"training": (0, self.config.lr)}

    def phase_starts(self) -> dict[str, int]:
        """Return the first epoch, counted from 1, of each phase with epochs.

        Nothing if there is only one.
        """
        starts = {name: first + 1 for name, first, _, _ in self._phases()}
        return starts if len(starts) > 1 else {}

    def _phases(self) -> list[tuple[str, int, int, float]]:
        """Return name, first epoch, end and learning rate of each phase with epochs."""
        phases = self.phases()
        ends = [*[first for first, _ in phases.values()][1:], self.n_epochs]
        return [
            (name, first, end, lr) for (name, (first, lr)), end in zip(phases.items(), ends, strict=True) if first < end
        ]

    def _rate(self, progress: float) -> float:
        """Return the learning rate after a share `progress` of the steps.

        The schedule restarts in every phase.
        """
        _, first, end, lr = next(
            (phase for phase in self._phases() if progress < phase[2] / self.n_epochs), self._phases()[-1]
        )
        done = (progress * self.n_epochs - first) / (end - first)
        return lr * (1 + math.cos(math.pi * min(done, 1))) / 2 if self.config.schedule == "cosine" else lr

    def training_step(self, batch: Batch) -> Tensor | None:
        """Return the loss of a batch, and add its parts to the sums of the epoch."""
        losses = self.module.loss(batch)
        self._add(losses)
        return losses["loss"]

    def _add(self, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
            self._n_steps[name] += 1

    def on_train_epoch_end(self) -> None:
        """Log the mean of every loss over the batches of the epoch that had it.

        Raise if training diverged.
        """
        means = {name: total / self._n_steps[name] for name, total in self._sums.items()}
        if not are_finite([*means.values(), *self.module.parameters()]):
            raise Diverged(f"epoch {self.current_epoch + 1} ended with NaN or infinite values", self.learning_rates)
        self.log_dict(means, prog_bar=True)
        self._sums.clear()
        self._n_steps.clear()
