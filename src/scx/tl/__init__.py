"""Methods: train on an AnnData, write embeddings to ``obsm`` and clusters to ``obs``."""

from ._cicl import cicl
from ._contrastive import contrastive
from ._infovae import infovae

__all__ = ["cicl", "contrastive", "infovae"]
