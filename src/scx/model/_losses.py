"""Losses as pure functions of tensors. n is the number of cells of a batch, d the dimension of what is compared."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

BLOCK_SIZE = 2**24
"""Similarities that are held at a time: 64 MB in float32."""


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy between two views of each cell.

    For the 2n views z and the partner p(i) of view i, with cosine similarity s and temperature T,
    :math:`\frac{1}{2n}\sum_i -\log\frac{\exp(s(z_i, z_{p(i)})/T)}{\sum_{j \ne i} \exp(s(z_i, z_j)/T)}`
    (contrastive-sc, additional file 1; SimCLR, eq. 1; CICL, eq. 12–14).

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
    n = len(first)
    partner = torch.arange(2 * n, device=first.device).roll(n)

    def terms(logits: Tensor, rows: slice) -> Tensor:
        return F.cross_entropy(logits, partner[rows], reduction="sum")

    return _mean_over_views(first, second, temperature, terms)


def cluster_aware(first: Tensor, second: Tensor, labels: Tensor, temperature: float) -> Tensor:
    r"""Cluster-aware contrastive loss between two views of each cell (CICL, eq. 15–16).

    For the 2n views z with the labels l of their cells, cosine similarity s and temperature T,
    :math:`\frac{1}{2n}\sum_i -\log\frac{\sum_{j \ne i,\, l_j = l_i} \exp(s(z_i, z_j)/T)}{\sum_{l_j \ne l_i} \exp(s(z_i, z_j)/T)}`.
    The positives do not stand below the line, so the ratio has no upper bound and the loss can be negative.

    Parameters
    ----------
    first, second
        One view of every cell each, shape (n, d); row i of both is the same cell. Need not be normalised.
    labels
        Cluster of each cell, shape (n,).
    temperature
        T, above 0.

    Returns
    -------
    The mean over all 2n views, a scalar. 0 where all cells are of one cluster, for lack of negatives. A positive there always
    is: the other view of the cell.
    """
    if bool((labels == labels[0]).all()):
        return 0 * (first.sum() + second.sum())
    labels = labels.repeat(2)

    def terms(logits: Tensor, rows: slice) -> Tensor:
        same = labels[rows, None] == labels
        positive = logits.masked_fill(~same, float("-inf")).logsumexp(dim=1)
        negative = logits.masked_fill(same, float("-inf")).logsumexp(dim=1)
        return (negative - positive).sum()

    return _mean_over_views(first, second, temperature, terms)


def student_t(points: Tensor, centroids: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Soft assignment of points to centroids by Student's t-distribution (CICL, eq. 8; DEC, eq. 1).

    :math:`q_{ij} \propto (1 + \lVert h_i - c_j \rVert^2 / \alpha)^{-(\alpha + 1)/2}`, over j summing to 1.

    Parameters
    ----------
    points
        h, shape (n, d).
    centroids
        c, shape (k, d).
    alpha
        Degrees of freedom.

    Returns
    -------
    q, shape (n, k).
    """
    squares = torch.cdist(points, centroids).square()
    return (-(alpha + 1) / 2 * torch.log1p(squares / alpha)).softmax(dim=1)


def _mean_over_views(
    first: Tensor, second: Tensor, temperature: float, terms: Callable[[Tensor, slice], Tensor]
) -> Tensor:
    """Average a loss over all 2n views, in blocks of rows of their matrix of similarities.

    With more than one block, none is kept for the backward pass: it is computed again there, so that memory grows with 2n
    instead of with its square.

    Parameters
    ----------
    first, second
        Views, shape (n, d) each.
    temperature
        What cosine similarities are divided by.
    terms
        Summed loss of the views in a slice, given their similarities with all views, shape (rows, 2n), where −∞ stands for
        that of a view with itself.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    n_views = len(views)
    n_rows = max(1, BLOCK_SIZE // n_views)

    def block(views: Tensor, start: int) -> Tensor:
        rows = slice(start, min(start + n_rows, n_views))
        logits = views[rows] @ views.T / temperature
        logits.diagonal(start).fill_(float("-inf"))
        return terms(logits, rows)

    if n_rows >= n_views:
        return block(views, 0) / n_views
    blocks = [
        checkpoint(block, views, start, use_reentrant=False, preserve_rng_state=False)
        for start in range(0, n_views, n_rows)
    ]
    return torch.stack(blocks).sum() / n_views
