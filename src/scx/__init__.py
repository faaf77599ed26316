"""Deep clustering of single-cell RNA-seq for scanpy users.

- ``scx.tl``: methods that embed and cluster the cells of an AnnData.
- ``scx.pl``: plots of their results.
- ``scx.model``: the models that they train.
- ``scx.metrics``: scores of embeddings and clusterings.
- ``scx.datasets``: small data sets to try them on.

The namespaces are imported on first use: ``import scx`` alone loads neither torch nor scvi-tools
nor scanpy.
"""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from scx._namesake import warn_of_namesake

if TYPE_CHECKING:
    from scx import datasets, metrics, model, pl, tl

__all__ = ["__version__", "datasets", "metrics", "model", "pl", "tl"]

__version__ = version("scx-tools")
warn_of_namesake()


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f".{name}", __name__)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
