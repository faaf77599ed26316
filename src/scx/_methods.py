"""The registry: what a method is, said once.

``scx.tl``, ``scx.model``, the tests, the benchmarks and the demo read it. Models are imported when they are needed, so that
reading the registry loads neither torch nor scvi-tools.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel


@dataclass(frozen=True)
class Method:
    """One method.

    Parameters
    ----------
    name
        Name of its function in ``scx.tl``, and of its results unless the user names them; the function is in ``scx/tl/_{name}.py``.
    model
        Name of its class in ``scx.model``.
    module
        Module that defines the class.
    obs_fields
        Fields of ``obs`` that it can read, as ``scx._workflow.obs_fields`` names them.
    """

    name: str
    model: str
    module: str
    obs_fields: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., Any]:
        """Its function in ``scx.tl``."""
        return getattr(import_module(f"scx.tl._{self.name}"), self.name)

    @property
    def model_cls(self) -> "type[DeepClusteringModel]":
        """Its class in ``scx.model``."""
        return getattr(import_module(self.module), self.model)


METHODS = {
    method.name: method
    for method in (
        Method("cicl", "CICL", "scx.model._cicl"),
        Method("contrastive", "Contrastive", "scx.model._contrastive"),
        Method("infovae", "InfoVAE", "scx.model._infovae.model"),
        Method("semiaae", "SemiAAE", "scx.model._semiaae.model", obs_fields=("labels",)),
    )
}
"""All methods by name. A new method is one more row."""
