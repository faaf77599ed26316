"""The models behind ``scx.tl``, with scvi-tools' interface."""

from ._cicl import CICL
from ._contrastive import Contrastive
from ._infovae import InfoVAE
from ._semiaae import SemiAAE

__all__ = ["CICL", "Contrastive", "InfoVAE", "SemiAAE"]
