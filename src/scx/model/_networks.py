"""Encoders, decoders and heads."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp_encoder(n_input: int, n_hidden: Sequence[int], n_latent: int) -> nn.Sequential:
    """Linear layers with batch normalisation and ReLU between them, and none after the last, Xavier-initialised.

    Parameters
    ----------
    n_input, n_hidden, n_latent
        Widths of the input, of each hidden layer, and of the embedding.
    """
    widths = [n_input, *n_hidden, n_latent]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    encoder = nn.Sequential(*layers[:-2])
    for layer in encoder:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return encoder
