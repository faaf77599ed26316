"""Training of a model through scvi-tools and Lightning, the same for every method."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi.train import Trainer
from torch.optim.swa_utils import update_bn
from torch.utils.data import BatchSampler

from scx._checks import check_arguments, check_choice, check_epochs
from scx._clustering.confidence import is_constant
from scx._clustering.outliers import fit_outliers
from scx._clustering.reference import Reference
from scx._clustering.types import Clusters
from scx._config import BatchSize, Count, check_option, check_options
from scx._rng import exclusively, global_seed
from scx._types import check_type, typed

from .base import EmbeddingModel
from .loaders import Rows, TrainingData, cell_loader, shuffled
from .plan import EpochPlan
from .recipe import TrainingConfig
from .session import session_restored
from .snapshots import Snapshots
from .source import BATCH_SIZE, Batch
from .stopping import EARLY_STOPPING, Instability
from .trainer import Diverged, Runner, check_limit, check_steps, check_trainer, with_history


class DeepClusteringModel(EmbeddingModel):
    """Model that trains on all cells.

    Subclasses define `_module_cls`, `_training_plan_cls` and `recipes`.
    """

    _training_plan_cls: type[EpochPlan] = EpochPlan
    _training: TrainingConfig

    @classmethod
    def check_training(
        cls,
        *,
        max_epochs: Any = None,
        batch_size: Any = None,
        accelerator: Any = "auto",
        devices: Any = "auto",
        plan_kwargs: Any = None,
        early_stopping: Any = False,
        callbacks: Any = (),
        **others: Any,
    ) -> dict[str, Any]:
        """Return checked arguments of :meth:`train` by name.

        Raise if one cannot be used, before anything is computed.
        """
        check_type("callbacks", callbacks, Sequence[Callback])
        check_arguments("", others, cls.train_arguments())
        accelerator, devices = check_trainer(accelerator, devices, {**others, "callbacks": callbacks})
        if cls._training_plan_cls.steps_itself:
            check_steps(cls.__name__, others)
        if early_stopping and not callbacks:  # callbacks may log further names
            monitor = {**EARLY_STOPPING, **others}["early_stopping_monitor"]
            check_choice("early_stopping_monitor", monitor, ("instability", *cls._module_cls.losses))
        config = type(cls.recipes["default"].training)
        return {
            "accelerator": accelerator,
            "devices": devices,
            "max_epochs": check_option("max_epochs", max_epochs, Count | None),
            "batch_size": check_option("batch_size", batch_size, BatchSize | None),
            "plan_kwargs": check_options("plan_kwargs", plan_kwargs, config, config.plan_options()),
            "early_stopping": check_option("early_stopping", early_stopping, bool),
            "callbacks": callbacks,
            **others,
        }

    @classmethod
    def train_arguments(cls) -> set[str]:
        """Return the names that :meth:`train` takes and passes on.

        Arguments that the functions of ``scx.tl`` take themselves are left out.
        """
        functions = (cls.train, Trainer, LightningTrainer)
        names = {name for function in functions for name in signature(function).parameters}
        return names - {"self", "kwargs", "trainer_kwargs", "max_epochs", "batch_size", "accelerator", "devices"}

    @exclusively
    @typed
    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        plan_kwargs: Mapping[str, Any] | None = None,
        early_stopping: bool = False,
        snapshot_epochs: Collection[int] = (),
        callbacks: Sequence[Callback] = (),
        **trainer_kwargs: Any,
    ) -> None:
        """Train on all cells.

        Parameters
        ----------
        max_epochs
            Number of epochs; None for the recipe's, or as many as give the recipe's least number
            of steps.
        batch_size
            Cells per step; None for the recipe's. With batch normalisation, a last batch that is
            less than half full is dropped. A last batch of one cell is always dropped. The dropped
            cells differ from epoch to epoch.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        plan_kwargs
            Fields of the training configuration that replace the recipe's.
        early_stopping
            Stop when the neighbourhoods of cells in the embedding no longer change less from epoch
            to epoch, see :class:`~scx.model._core.stopping.Instability`: when this ``instability``
            has not fallen by 0.01 (``early_stopping_min_delta``) in 10 epochs
            (``early_stopping_patience``). Only the last phase of the training stops early. The
            history has the value of each epoch.
        snapshot_epochs
            Epochs, counted from 1, after which the embedding of all cells is kept in `snapshots`;
            0 is before the first step. Snapshots do not change the training.
        callbacks
            Further callbacks of Lightning.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`.

        Raises
        ------
        ValueError, TypeError
            Before training: if an argument cannot be used, or asks for more than one device.
        RuntimeError
            If training diverged: an epoch ended with a loss or weights that are NaN or infinite, or
            the final embedding is NaN, infinite or the same for all cells. The model then counts as
            untrained, as after any error and after Ctrl-C.
        """
        checked = self.check_training(
            max_epochs=max_epochs,
            batch_size=batch_size,
            plan_kwargs=plan_kwargs,
            early_stopping=early_stopping,
            callbacks=callbacks,
            accelerator=accelerator,
            devices=devices,
            **trainer_kwargs,
        )
        config = replace(self.recipes[self.recipe_].training, **checked["plan_kwargs"])
        self._training = config
        n_obs = self.adata.n_obs
        self.batch_size_ = min(checked["batch_size"] or config.batch_size, n_obs)
        n_left = n_obs % self.batch_size_
        drop_last = n_left == 1 or 0 < n_left < self.module.least_batch_share * self.batch_size_
        n_steps = n_obs // self.batch_size_ + (n_left > 0 and not drop_last)
        n_epochs = checked["max_epochs"]
        if n_epochs is None:
            n_epochs = max(config.max_epochs, math.ceil(config.min_steps / n_steps))
        check_epochs("snapshot_epochs", snapshot_epochs, n_epochs)
        check_limit(trainer_kwargs.get("limit_train_batches"), n_steps)
        if not self.is_trained:
            self._fit_normalization()
        callbacks = [*callbacks, *self._callbacks()]
        if early_stopping:
            callbacks.append(Instability(self.embed_while_training, n_obs))
            trainer_kwargs = {**EARLY_STOPPING, **trainer_kwargs}
        if len(snapshot_epochs):
            watch = Snapshots(self.snapshot, snapshot_epochs)
            callbacks.append(watch)
            self.snapshots = watch.embeddings
        logger = with_history(trainer_kwargs.pop("logger", None), trainer_kwargs.pop("log_save_dir", None))
        try:
            with session_restored():
                source = self.source()
                batches = self._training_batches(shuffled(source, self.batch_size_, drop_last=drop_last))
                Runner(
                    self,
                    training_plan=self._training_plan_cls(self.module, config),
                    data_splitter=TrainingData(source, batches),
                    max_epochs=n_epochs,
                    accelerator=checked["accelerator"],
                    devices=checked["devices"],
                    early_stopping=checked["early_stopping"],
                    callbacks=callbacks,
                    logger=logger,
                    **trainer_kwargs,
                )()
            self._finish_training()
            self._check_result()
        except BaseException as error:
            self.is_trained_ = False
            if isinstance(error, MisconfigurationException):
                msg = f"Lightning cannot train {type(self).__name__} so: {error}"
                raise ValueError(msg) from error
            raise

    def _training_batches(self, batches: BatchSampler) -> Rows:
        """Return the row numbers of each training batch, given random batches of all cells."""
        return batches

    def _callbacks(self) -> list[Callback]:
        """Return what a method does between the steps of training."""
        return []

    def _finish_training(self) -> None:
        """Do what is left to do after the last step."""
        self._settle()

    def _settle(self) -> None:
        """Measure what embeddings need on cells as they are embedded."""
        if self._training.settle_batch_norm:
            self._settle_batch_norm()

    def _check_result(self) -> None:
        """Raise unless an epoch was trained to its end, and the embedding separates cells."""
        if "loss" not in self.history:
            msg = "Training ended before its first epoch did. Allow it more time or steps: `max_time`, `max_steps`."
            raise RuntimeError(msg)
        self._check_separates(self.get_latent_representation())

    def _check_separates(self, embedding: NDArray[np.float32]) -> None:
        n_bad = int((~np.isfinite(embedding).all(axis=1)).sum())
        if n_bad or is_constant(embedding):
            what = (
                f"the embedding of {n_bad} cells is NaN or infinite" if n_bad else "all cells have the same embedding"
            )
            raise Diverged(what, self.trainer.lightning_module.learning_rates)

    def snapshot(self) -> NDArray[np.float32]:
        """Return the embedding of all cells if training ended now, shape (n_cells, n_latent).

        The run goes on unchanged.
        """
        # Settling reads cells with a loader, which draws a seed even if it does not shuffle.
        with torch.random.fork_rng(devices=[]), self._statistics_restored():
            self._settle()
            return self.embed_while_training().cpu().numpy()

    @property
    def phase_starts(self) -> dict[str, int]:
        """First epoch, counted from 1, of each phase of the last training.

        Empty if it had one phase.
        """
        starts: dict[str, int] = self.trainer.lightning_module.phase_starts()
        return starts

    def _passes(self, rows: NDArray[np.int64] | None = None) -> Iterator[Batch]:
        """Load cells of training, in order, in batches of nearly equal size."""
        rows = np.arange(self.adata.n_obs) if rows is None else rows
        n_cells = math.ceil(len(rows) / math.ceil(len(rows) / BATCH_SIZE))
        return iter(
            cell_loader(self.source(), [rows[start : start + n_cells] for start in range(0, len(rows), n_cells)])
        )

    @torch.inference_mode()
    def expression(self, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield the normalised expression of cells of training, in order, in blocks (n, n_genes).

        Parameters
        ----------
        rows
            Row numbers, increasing; None for all cells.
        """
        for batch in self._passes(rows):
            yield self.module.normalized(batch).cpu().numpy()

    def keep_reference(self, clusters: Clusters, embedding: NDArray[np.float32], seed: int) -> None:
        """Keep what new cells are compared with, in `reference_`.

        Parameters
        ----------
        clusters
            Of the cells of training.
        embedding
            Their embedding, shape (n_cells, n_latent).
        seed
            Draws the cells that are kept.
        """
        with global_seed(seed):  # loaders draw a seed
            outliers = fit_outliers(embedding, lambda rows: np.concatenate(list(self.expression(rows))), seed)
        self.reference_ = Reference(clusters, outliers)

    def size_factors(self) -> NDArray[np.float32]:
        """Return the size factors of the cells of training, shape (n_cells,)."""
        return torch.cat([batch.size_factor for batch in self._passes()]).squeeze(1).numpy()

    @torch.inference_mode()
    def _fit_normalization(self) -> None:
        size_factors = self.size_factors()
        self.module.normalize.fit(size_factors, map(self.source().checked, self._passes()))

    @torch.inference_mode()
    def _settle_batch_norm(self) -> None:
        """Estimate the statistics of batch normalisation again, on cells as they are embedded.

        In training they come from perturbed cells (most genes masked, noise added), whose
        activations have another mean and variance than those of the cells that are embedded later.
        """
        update_bn(map(self.module.normalized, self._passes()), self.module.encoder)
