"""The trainer of scvi-tools and Lightning: which arguments it takes, and which errors it raises."""

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any

import scvi.train
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import Logger
from scvi.train import SaveCheckpoint, TrainRunner
from torch import Tensor

from scx._compat import history_logger, parse_devices

from .progress import ProgressBar, ScviProgressBar
from .session import quiet, session_restored

REFUSED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "strategy": (lambda value: value != "auto", "scx trains on one device of one machine. Leave it out."),
    "num_nodes": (lambda value: value != 1, "scx trains on one device of one machine. Leave it out."),
    "fast_dev_run": (bool, "it keeps no history. Pass `max_epochs=1`."),
    "overfit_batches": (bool, "it would train on few cells. Pass an AnnData of these."),
    "precision": (
        lambda value: value not in (None, 32, "32", "32-true", 16, "16", "16-mixed", "bf16", "bf16-mixed"),
        'cells are embedded with weights of 32 bits. Pass "bf16-mixed" or "16-mixed" to compute with fewer.',
    ),
    "limit_train_batches": (lambda value: value == 0, "nothing would be trained. Leave it out."),
    "max_steps": (lambda value: value == 0, "nothing would be trained. Pass -1 for no limit, or `max_epochs`."),
    "barebones": (bool, "it keeps no history. Leave it out."),
    "enable_checkpointing": (
        bool,
        "there are no validation cells to choose a checkpoint by. Pass `model_dir` to `scx.tl`, or call the model's `save`.",
    ),
    "logger": (
        lambda value: value is True,
        "it would choose a logger and a folder by what is installed. Pass a logger of `lightning.pytorch.loggers`.",
    ),
}
"""Arguments of trainers that leave no model or no history: the values, and what to do instead."""


NOT_PROBED = {
    "plan_kwargs",
    "early_stopping",
    "snapshot_epochs",
    "callbacks",
    "logger",
    "log_save_dir",
    "enable_progress_bar",
}
"""Arguments of training that a trainer does not take, or that are checked elsewhere."""


def check_trainer(accelerator: Any, devices: Any, arguments: Mapping[str, Any]) -> tuple[str, Any]:
    """Raise unless Lightning can train on one device with these `arguments` of its trainer.

    Return accelerator and device.

    A trainer is made and thrown away, since Lightning checks its arguments nowhere else.
    """
    for name, (is_refused, why) in REFUSED.items():
        if name in arguments and is_refused(arguments[name]):
            msg = f"`{name}={arguments[name]!r}` cannot be used: {why}"
            raise ValueError(msg)
    callbacks, logger = arguments.get("callbacks", ()), arguments.get("logger")
    for name, kind, entries in (("callbacks", Callback, callbacks), ("logger", Logger, [logger] if logger else [])):
        entries = entries if isinstance(entries, list | tuple) else [entries]
        wrong = [entry for entry in entries if not isinstance(entry, kind)]
        if wrong or (name == "callbacks" and isinstance(callbacks, Callback)):
            msg = f"`{name}` must be {'a list of callbacks' if name == 'callbacks' else 'a logger'} of Lightning, got {arguments[name]!r}."
            raise TypeError(msg)
    if any(isinstance(callback, SaveCheckpoint) and callback.load_best_on_end for callback in callbacks):
        msg = (
            "`load_best_on_end` of a callback cannot be used. Leave it out, and load its folder with `scx.model.load`."
        )
        raise ValueError(msg)
    if isinstance(devices, Integral):
        n_devices = int(devices)
    else:
        n_devices = len(devices.split(",") if isinstance(devices, str) else devices)
    if n_devices > 1:
        raise _several(devices)
    try:
        accelerator, devices = parse_devices(accelerator, devices)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        msg = (
            f"Cannot use `accelerator={accelerator!r}` with `devices={devices!r}`: {error} "
            'Pass accelerator="auto" to use what this machine has.'
        )
        raise ValueError(msg) from error
    probed = {name: value for name, value in arguments.items() if name not in NOT_PROBED}
    try:
        with session_restored(), quiet():
            trainer = scvi.train.Trainer(
                accelerator, devices, callbacks=list(callbacks), logger=False, enable_progress_bar=False, **probed
            )
    except (MisconfigurationException, ImportError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        msg = f"Lightning cannot train with {', '.join(f'`{name}`' for name in arguments)}: {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(msg) from error
    if trainer.world_size > 1:
        raise _several(devices)
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    if any((timer.time_remaining() or 0) <= 0 for timer in timers):
        msg = f"`max_time={arguments.get('max_time')!r}` leaves no time to train. Pass a longer time, or leave it out."
        raise ValueError(msg)
    return accelerator, devices


def _several(devices: Any) -> ValueError:
    return ValueError(
        f"`devices={devices!r}` stands for several devices, and scx trains on one. Pass `devices=1`, or `devices=[i]` for the i-th."
    )


def check_steps(model: str, arguments: Mapping[str, Any]) -> None:
    """Raise if an argument of Lightning changes steps that a `model` takes by itself."""
    for name, neutral in (("gradient_clip_val", (None, 0)), ("accumulate_grad_batches", (1,))):
        if arguments.get(name, neutral[0]) not in neutral:
            msg = f"`{name}={arguments[name]!r}` cannot be used: {model} has several optimizers and steps them itself. Leave it out."
            raise ValueError(msg)


def check_limit(limit: Any, n_batches: int) -> None:
    """Raise if `limit`, a share of the `n_batches` of an epoch, leaves none."""
    if isinstance(limit, float) and int(limit * n_batches) < 1:
        msg = f"`limit_train_batches={limit}` leaves none of {n_batches} batches. Pass at least {1 / n_batches:.3g}, or a number of batches."
        raise ValueError(msg)


def with_history(logger: Any, save_dir: str | None) -> list[Logger]:
    """Return the logger that keeps the history of the model, and then those that the user wants."""
    further = logger if isinstance(logger, list | tuple) else [logger] if logger else []
    return [history_logger(save_dir), *further]


class Diverged(RuntimeError):
    """Training found nothing at these learning rates, named as the arguments of the plan."""

    def __init__(self, what: str, rates: Mapping[str, float]) -> None:
        now = ", ".join(f"{name}={rate:g}" for name, rate in rates.items())
        lower = ", ".join(f'"{name}": {rate / 10:g}' for name, rate in rates.items())
        super().__init__(
            f"Training diverged: {what}. Lower the learning rate, which was {now}: pass plan_kwargs={{{lower}}} to the model's `train`, "
            f'or train_kwargs={{"plan_kwargs": {{{lower}}}}} to a function of `scx.tl`. If that does not help, look for extreme counts.'
        )


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).all())


class Trainer(scvi.train.Trainer):
    """Trainer of scvi-tools that leaves it to :class:`Runner` to raise what went wrong."""

    callbacks: list[Any]
    failure: BaseException | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.callbacks = [
            ProgressBar(callback.refresh_rate) if type(callback) is ScviProgressBar else callback
            for callback in self.callbacks
        ]

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train, and keep an error as `failure`.

        scvi-tools would print it, and Lightning would end the session on Ctrl-C.
        """
        try:
            super().fit(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # raised by the runner
            interrupt = error.__context__
            self.failure = interrupt if isinstance(interrupt, KeyboardInterrupt) else error


class Runner(TrainRunner):
    """Runner of scvi-tools that raises what went wrong, Ctrl-C as such."""

    _trainer_cls = Trainer

    def __call__(self) -> None:
        """Train; raise what went wrong."""
        super().__call__()
        failure, self.trainer.failure = self.trainer.failure, None
        if failure is None:
            return
        plan = self.training_plan
        if (
            isinstance(failure, Exception)
            and not isinstance(failure, Diverged)
            and not are_finite(weights.square() for weights in plan.parameters())
        ):
            raise Diverged("weights became infinite or nearly so", plan.learning_rates) from failure
        raise failure
