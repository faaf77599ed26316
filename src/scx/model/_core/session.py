"""The user's session, restored after training: settings of torch, the environment, log levels."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from scx._rng import LOCK

HIDDEN_WARNINGS = (
    (".*does not contain unnormalized count data", r"scvi\."),
    ("Last batch will have a small size", r"scvi\."),
    ("The number of training batches", r"lightning\.pytorch\."),
    ("The '\\w+_dataloader' does not have many workers", r"lightning\.pytorch\."),
    ("You passed in a `val_dataloader` but have no `validation_step`", r"lightning\.pytorch\."),
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", r"lightning\.pytorch\."),
    ("GPU available but not used", r"lightning\.pytorch\."),
)
"""Message and module of warnings about things that users of `scx.tl` cannot or need not change."""


@contextmanager
def session_restored() -> Iterator[None]:
    """Restore what Lightning changes: settings of torch, the environment, the handler of Ctrl-C."""
    with LOCK:
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        benchmark = torch.backends.cudnn.benchmark
        workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.backends.cudnn.benchmark = benchmark
            if workspace is None:
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
            else:
                os.environ["CUBLAS_WORKSPACE_CONFIG"] = workspace
            # A handler that was not set from Python is None. Only the main thread may set one.
            if on_interrupt is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, on_interrupt)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide messages of Lightning and scvi-tools on hardware, loaders and fractional counts.

    scx checks the counts itself.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "scvi")]
    with LOCK, warnings.catch_warnings():
        levels = [logger.level for logger in loggers]
        for message, module in HIDDEN_WARNINGS:
            warnings.filterwarnings("ignore", message=message, module=module)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
