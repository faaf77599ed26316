"""Encoders, decoders and heads."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Adds noise with standard deviation `sd` in training, and nothing afterwards."""

    def __init__(self, sd: float) -> None:
        super().__init__()
        self.sd = sd

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with noise, of the same shape."""
        return x + self.sd * torch.randn_like(x) if self.training else x


def mlp_encoder(
    n_input: int, n_hidden: Sequence[int], n_latent: int, *, batch_norm: bool = True, noise: float = 0.0
) -> nn.Sequential:
    """Linear layers with batch normalisation and ReLU between them, and none after the last, Xavier-initialised.

    Parameters
    ----------
    n_input, n_hidden, n_latent
        Widths of the input, of each hidden layer, and of the embedding.
    batch_norm
        Whether there is batch normalisation.
    noise
        Standard deviation of the noise added to the input and before each ReLU in training.
    """
    perturb = [GaussianNoise(noise)] if noise else []
    layers: list[nn.Module] = [*perturb]
    for before, after in pairwise([n_input, *n_hidden]):
        normalize = [nn.BatchNorm1d(after)] if batch_norm else []
        layers += [nn.Linear(before, after), *normalize, *perturb, nn.ReLU()]
    encoder = nn.Sequential(*layers, nn.Linear([n_input, *n_hidden][-1], n_latent))
    for layer in encoder:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return encoder
