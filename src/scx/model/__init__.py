"""The models behind ``scx.tl``, with scvi-tools' interface."""

from ._contrastive import Contrastive

__all__ = ["Contrastive"]
