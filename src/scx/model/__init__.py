"""The models behind ``scx.tl``, with scvi-tools' interface."""

from scx.model._cicl import CICL
from scx.model._contrastive import Contrastive
from scx.model._infovae.model import InfoVAE
from scx.model._semiaae.model import SemiAAE

__all__ = ["CICL", "Contrastive", "InfoVAE", "SemiAAE"]
