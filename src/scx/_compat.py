"""Every import of something private or version-dependent in scvi-tools, scanpy and anndata, checked by tests."""

from typing import Any

from scanpy._utils import _empty

MASK_VAR_DEFAULT: Any = _empty
"""scanpy's marker for "``highly_variable`` if present", the default of `mask_var` in :func:`scanpy.pp.pca`."""


def parse_devices(accelerator: str, devices: int | list[int] | str) -> None:
    """Raise what Lightning raises on an accelerator or devices that it does not know or this machine does not have."""
    from scvi.model._utils import parse_device_args

    parse_device_args(accelerator=accelerator, devices=devices, return_device="torch")
