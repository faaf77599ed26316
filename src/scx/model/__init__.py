"""The models behind ``scx.tl``, with scvi-tools' interface, and the function that loads them.

The models are those of the registry, :data:`scx._methods.METHODS`, and are imported on first use.
"""

from typing import TYPE_CHECKING

from scx._methods import METHODS

if TYPE_CHECKING:  # for editors and type checkers; a test compares it with the registry
    from scx.model._cicl import CICL as CICL
    from scx.model._contrastive import Contrastive as Contrastive
    from scx.model._core.store import load as load
    from scx.model._infovae.model import InfoVAE as InfoVAE
    from scx.model._semiaae.model import SemiAAE as SemiAAE
else:

    def __getattr__(name):
        if name == "load":
            from scx.model._core.store import load

            return load
        for method in METHODS.values():
            if method.model == name:
                return method.model_cls
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)


__all__ = sorted(["load", *(method.model for method in METHODS.values())])


def __dir__() -> list[str]:
    return __all__
