"""All uses of private parts of other packages, which may change; tests check each one."""

import warnings
from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast

from anndata import AnnData
from scanpy._utils import _empty

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

MASK_VAR_DEFAULT: Any = _empty
"""Default of `mask_var` in :func:`scanpy.pp.pca`: ``var["highly_variable"]`` if it exists."""


def auto_move_data[F: Callable[..., Any]](function: F) -> F:
    """Make a method of a module move its arguments to the device of the module."""
    from scvi.module.base import auto_move_data

    return cast("F", wraps(function)(auto_move_data(function)))


def parse_devices(accelerator: str, devices: Any) -> tuple[str, int | str | list[int]]:
    """Return accelerator and devices in the form that Lightning's trainer accepts.

    If Lightning does not know them, or this machine does not have them, its own error is raised.
    """
    from scvi.model._utils import parse_device_args

    if isinstance(devices, Integral):
        devices = int(devices)
    elif not isinstance(devices, str):
        devices = [int(device) for device in devices]
    found = parse_device_args(accelerator=accelerator, devices=devices, return_device="torch")
    return found[0], found[1]


def torch_device(accelerator: str, device: int | str) -> Any:
    """Return the device of torch that scvi-tools takes these arguments for."""
    from scvi.model._utils import parse_device_args

    return parse_device_args(
        accelerator=accelerator, devices=device, return_device="torch", validate_single_device=True
    )[2]


def replace_content(adata: AnnData, other: AnnData) -> None:
    """Make `adata` hold what `other` holds, as scvi-tools does."""
    if other is not adata:
        with warnings.catch_warnings():  # of anndata, on a call within anndata
            warnings.filterwarnings("ignore", message="Assigning to `.layers`")
            adata._init_as_actual(other)  # type: ignore[no-untyped-call]


def fill_colors(adata: AnnData, key: str) -> None:
    """Set ``uns[f"{key}_colors"]`` to scanpy's palette for the categories of ``obs[key]``."""
    from scanpy.plotting._utils import set_default_colors_for_categorical_obs

    set_default_colors_for_categorical_obs(adata, key)


def history_logger(save_dir: str | None) -> "Logger":
    """Return the scvi-tools logger that keeps a model's history, with a folder also in a file."""
    from scvi.train._logger import SimpleLogger

    logger: Logger = SimpleLogger(save_dir=save_dir, save_log_on_disk=bool(save_dir))
    return logger


def progress_bar_class() -> Any:
    """Return the callback of scvi-tools that shows the progress of training."""
    from scvi.train._progress import ProgressBar

    return ProgressBar
