"""Every import of something private or version-dependent in scvi-tools, scanpy and anndata, checked by tests."""

from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import Any, cast

from anndata import AnnData
from scanpy._utils import _empty

MASK_VAR_DEFAULT: Any = _empty
"""scanpy's marker for "``highly_variable`` if present", the default of `mask_var` in :func:`scanpy.pp.pca`."""


def auto_move_data[F: Callable[..., Any]](function: F) -> F:
    """Return a method of a module that moves its arguments to the device of the module, with its types."""
    from scvi.module.base import auto_move_data

    return cast("F", wraps(function)(auto_move_data(function)))


def parse_devices(accelerator: Any, devices: Any) -> tuple[str, Any]:
    """Return accelerator and devices as Lightning's trainer takes them.

    Raises what Lightning raises on an accelerator or devices that it does not know or this machine does not have.
    """
    from scvi.model._utils import parse_device_args

    if isinstance(devices, Integral):
        devices = int(devices)
    elif not isinstance(devices, str):
        devices = [int(device) for device in devices]
    found = parse_device_args(accelerator=accelerator, devices=devices, return_device="torch")
    return found[0], found[1]


def fill_colors(adata: AnnData, key: str) -> None:
    """Set ``uns[f"{key}_colors"]`` to the palette that scanpy takes for the categories of ``obs[key]``."""
    from scanpy.plotting._utils import set_default_colors_for_categorical_obs

    set_default_colors_for_categorical_obs(adata, key)


def history_logger(save_dir: str | None) -> Any:
    """Return the logger of scvi-tools that keeps a model's history, in a file too if there is a folder to save it in."""
    from scvi.train._logger import SimpleLogger

    return SimpleLogger(save_dir=save_dir, save_log_on_disk=bool(save_dir))
