"""Batches as models see them."""

import torch
from torch import Tensor

from scx.model._core.source import Batch


def batch_of(
    x: Tensor, size_factor: Tensor | None = None, target: Tensor | None = None, batch: Tensor | None = None
) -> Batch:
    """Return cells with counts `x`; size factors are their sums unless they are given."""
    sums = x.sum(dim=1, keepdim=True)
    return Batch(x, sums if size_factor is None else size_factor, torch.arange(len(x)), target, batch)
