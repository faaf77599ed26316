"""The models behind ``scx.tl``, with scvi-tools' interface."""

from ._cicl import CICL
from ._contrastive import Contrastive

__all__ = ["CICL", "Contrastive"]
