"""Encoders, decoders and heads."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GaussianNoise(nn.Module):
    """Adds noise with standard deviation `sd` in training, and nothing afterwards."""

    def __init__(self, sd: float) -> None:
        super().__init__()
        self.sd = sd

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with noise, of the same shape."""
        return x + self.sd * torch.randn_like(x) if self.training else x


class Network(nn.Sequential):
    """Layers, one after the other. With batches, every linear layer sees the batch of each cell.

    The batch follows the other inputs of the layer, one-hot, as in :class:`scvi.nn.FCLayers`. Cells
    of an unknown batch have 1 / `n_batches` in place of 0 and 1: what they add to a layer is the
    mean over the known batches.

    Parameters
    ----------
    *layers
        Linear layers have `n_batches` further inputs.
    n_batches
        Number of batches; 0 for none.
    """

    def __init__(self, *layers: nn.Module, n_batches: int = 0) -> None:
        super().__init__(*layers)
        self.n_batches = n_batches

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """Return the output for `x`, shape (n, n_input).

        `batch` is as in :class:`~scx.model._core.source.Batch`. It is not read if `n_batches` is 0.
        """
        covariates = self._covariates(x, batch) if self.n_batches else None
        for layer in self:
            if covariates is not None and isinstance(layer, nn.Linear):
                x = torch.cat([x, covariates], dim=1)
            x = layer(x)
        return x

    def _covariates(self, x: Tensor, batch: Tensor | None) -> Tensor:
        """Return what linear layers see of the batches, shape (n, n_batches)."""
        unknown = x.new_full((len(x), self.n_batches), 1 / self.n_batches)
        if batch is None:
            return unknown
        known = F.one_hot(batch.clamp_min(0), self.n_batches).to(x.dtype)
        return torch.where(batch[:, None] < 0, unknown, known)


def mlp_encoder(
    n_input: int,
    n_hidden: Sequence[int],
    n_latent: int,
    *,
    batch_norm: bool = True,
    noise: float = 0.0,
    dropout: float = 0.0,
    n_batches: int = 0,
) -> Network:
    """Linear layers with batch normalisation and ReLU between them, Xavier-initialised.

    The last layer is linear only.

    Parameters
    ----------
    n_input, n_hidden, n_latent
        Widths of the input, of each hidden layer, and of the embedding.
    batch_norm
        Whether there is batch normalisation.
    noise
        Standard deviation of the noise added to the input and before each ReLU in training.
    dropout
        Probability with which a unit of a hidden layer is left out in training.
    n_batches
        As in :class:`Network`.
    """
    perturb = [GaussianNoise(noise)] if noise else []
    layers: list[nn.Module] = [*perturb]
    for before, after in pairwise([n_input, *n_hidden]):
        normalize = [nn.BatchNorm1d(after)] if batch_norm else []
        drop = [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(before + n_batches, after), *normalize, *perturb, nn.ReLU(), *drop]
    encoder = Network(*layers, nn.Linear([n_input, *n_hidden][-1] + n_batches, n_latent), n_batches=n_batches)
    for layer in encoder:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return encoder


class SelfAttention(nn.Module):
    """Multi-head self-attention (CICL, eq. 3–4) among the cells of a batch, or of each to itself.

    Of each cell to itself, the softmax of eq. 4 is over one element and 1, so what remains of
    eq. 3 is the linear map of the values, and there are no queries and keys.

    Parameters
    ----------
    width
        Width of input and output; need not be a multiple of `n_heads`.
    n_heads
        Number of heads h, of width d = ⌈width / h⌉ each.
    attention
        ``"cell"`` or ``"batch"``.
    """

    def __init__(self, width: int, n_heads: int, attention: Literal["cell", "batch"]) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention = attention
        inner = math.ceil(width / n_heads) * n_heads
        self.values = nn.Linear(width, inner, bias=False)
        self.output = nn.Linear(inner, width, bias=False)
        if attention == "batch":
            self.queries = nn.Linear(width, inner, bias=False)
            self.keys = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended cells, shape (n, width), of `x`, of the same shape."""
        if self.attention == "cell":
            own: Tensor = self.output(self.values(x))
            return own
        heads = [
            layer(x).unflatten(1, (self.n_heads, -1)).transpose(0, 1)
            for layer in (self.queries, self.keys, self.values)
        ]
        attended: Tensor = self.output(F.scaled_dot_product_attention(*heads).transpose(0, 1).flatten(1))
        return attended


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network (CICL, eq. 3–7).

    Each has a residual connection and layer normalisation.

    Parameters
    ----------
    width, n_heads, attention
        As in :class:`SelfAttention`.
    n_hidden
        Width of the hidden layer of the feed-forward network.
    """

    def __init__(self, width: int, n_heads: int, n_hidden: int, attention: Literal["cell", "batch"]) -> None:
        super().__init__()
        self.attend = SelfAttention(width, n_heads, attention)
        self.attend_norm = nn.LayerNorm(width)
        self.forward_network = nn.Sequential(
            nn.Linear(width, n_hidden, bias=False), nn.ReLU(), nn.Linear(n_hidden, width, bias=False)
        )
        self.forward_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the layer, shape (n, width), for `x`, of the same shape."""
        x = self.attend_norm(x + self.attend(x))
        output: Tensor = self.forward_norm(self.forward_network(x) + x)
        return output
