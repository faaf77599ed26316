"""The registry of methods.

``scx.tl``, ``scx.model``, the tests, the benchmarks and the demo read it. A model is imported only
when it is needed, so reading the registry loads neither torch nor scvi-tools.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel


@dataclass(frozen=True)
class Method:
    """A method: a function of ``scx.tl`` and the model that it trains.

    Parameters
    ----------
    name
        Name of the function, in ``scx/tl/_{name}.py``, and the default name of its results.
    model
        Name of the model in ``scx.model``.
    module
        Module that defines the model.
    obs_fields
        Fields of ``obs`` that the model can read, by their names in ``scx._workflow.obs_fields``.
    """

    name: str
    model: str
    module: str
    obs_fields: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., Any]:
        """The function in ``scx.tl``."""
        function: Callable[..., Any] = getattr(import_module(f"scx.tl._{self.name}"), self.name)
        return function

    @property
    def model_cls(self) -> "type[DeepClusteringModel]":
        """The model in ``scx.model``."""
        model_cls: type[DeepClusteringModel] = getattr(import_module(self.module), self.model)
        return model_cls


METHODS = {
    method.name: method
    for method in (
        Method("cicl", "CICL", "scx.model._cicl"),
        Method("contrastive", "Contrastive", "scx.model._contrastive"),
        Method("infovae", "InfoVAE", "scx.model._infovae.model"),
        Method("semiaae", "SemiAAE", "scx.model._semiaae.model", obs_fields=("labels",)),
    )
}
"""All methods by name. To add a method, add a row."""
