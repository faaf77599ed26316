"""The models behind ``scx.tl``, with scvi-tools' interface."""

from ._contrastive import Contrastive
from ._infovae import InfoVAE

__all__ = ["Contrastive", "InfoVAE"]
