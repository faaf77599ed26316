"""Every import of something private or version-dependent in scvi-tools, scanpy and anndata, checked by tests."""

from typing import Any

from anndata import AnnData
from scanpy._utils import _empty

MASK_VAR_DEFAULT: Any = _empty
"""scanpy's marker for "``highly_variable`` if present", the default of `mask_var` in :func:`scanpy.pp.pca`."""


def parse_devices(accelerator: str, devices: int | list[int] | str) -> None:
    """Raise what Lightning raises on an accelerator or devices that it does not know or this machine does not have."""
    from scvi.model._utils import parse_device_args

    parse_device_args(accelerator=accelerator, devices=devices, return_device="torch")


def fill_colors(adata: AnnData, key: str) -> None:
    """Set ``uns[f"{key}_colors"]`` to the palette that scanpy takes for the categories of ``obs[key]``."""
    from scanpy.plotting._utils import set_default_colors_for_categorical_obs

    set_default_colors_for_categorical_obs(adata, key)
