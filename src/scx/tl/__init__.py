"""Methods that train a model and write embedding and clusters; what needs no training.

The registry :data:`scx._methods.METHODS` lists the methods.
"""

from typing import TYPE_CHECKING

from scx._methods import METHODS
from scx.tl._attributions import attributions
from scx.tl._cluster import cluster
from scx.tl._consensus import consensus
from scx.tl._ensemble import ensemble
from scx.tl._map_query import map_query

if TYPE_CHECKING:  # for editors and type checkers; a test compares the names with the registry
    from scx.tl._cicl import cicl as cicl
    from scx.tl._contrastive import contrastive as contrastive
    from scx.tl._infovae import infovae as infovae
    from scx.tl._semiaae import semiaae as semiaae
else:

    def __getattr__(name):
        if name in METHODS:
            return METHODS[name].function
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)


__all__ = sorted(
    [attributions.__name__, cluster.__name__, consensus.__name__, ensemble.__name__, map_query.__name__, *METHODS]
)


def __dir__() -> list[str]:
    return __all__
