"""Losses as pure functions of tensors. n is the number of cells of a batch, d the dimension of what is compared."""

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy between two views of each cell.

    For the 2n views z and the partner p(i) of view i, with cosine similarity s and temperature T,
    :math:`\frac{1}{2n}\sum_i -\log\frac{\exp(s(z_i, z_{p(i)})/T)}{\sum_{j \ne i} \exp(s(z_i, z_j)/T)}`
    (contrastive-sc, additional file 1; SimCLR, eq. 1).

    Parameters
    ----------
    first, second
        One view of every cell each, shape (n, d); row i of both is the same cell. Need not be normalised.
    temperature
        T, above 0.

    Returns
    -------
    The mean over all 2n views, a scalar.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(float("-inf"))
    n = len(first)
    partner = torch.arange(2 * n, device=logits.device).roll(n)
    return F.cross_entropy(logits, partner)
