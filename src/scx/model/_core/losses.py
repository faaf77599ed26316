"""Losses as pure functions of tensors.

n is the number of cells of a batch, d the dimension of the vectors that are compared.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from scx.model._core.zinb import SparseZINB

BLOCK_SIZE = 2**24
"""Similarities that are held at a time: 64 MB in float32."""
LOG_RATE_RANGE = (-15.0, 15.0)
"""Decoded log means and log dispersions are clamped to this range: exponentials stay finite."""
KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Bandwidths of the kernels of :func:`mmd`.

The unit is the mean squared distance between two standard normal points.
"""


def nt_xent(first: Tensor, second: Tensor, temperature: float, batches: Tensor | None = None) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy between two views of each cell.

    For the 2n views z and the partner p(i) of view i, with cosine similarity s and temperature T,
    :math:`\frac{1}{2n}\sum_i -\log\frac{\exp(s(z_i, z_{p(i)})/T)}
    {\sum_{j \ne i} \exp(s(z_i, z_j)/T)}`
    (contrastive-sc, additional file 1; SimCLR, eq. 1; CICL, eq. 12–14).
    With batches, j runs over p(i) and the views of the batch of i: nothing is gained by telling
    batches apart.

    Parameters
    ----------
    first, second
        One view of every cell each, shape (n, d); row i of both is the same cell. Need not
        be normalised.
    temperature
        T, above 0.
    batches
        Batch of each view, first those of `first` and then those of `second`, shape (2n,); None for
        no batches.

    Returns
    -------
    The mean over all 2n views, a scalar.
    """
    n = len(first)
    partner = torch.arange(2 * n, device=first.device).roll(n)

    def terms(logits: Tensor, rows: slice) -> Tensor:
        if batches is not None:
            is_left_out = batches[rows, None] != batches
            is_left_out[torch.arange(len(logits)), partner[rows]] = False
            logits = logits.masked_fill(is_left_out, float("-inf"))
        return F.cross_entropy(logits, partner[rows], reduction="sum")

    return _mean_over_views(first, second, temperature, terms)


def cluster_aware(
    first: Tensor, second: Tensor, labels: Tensor, temperature: float, batches: Tensor | None = None
) -> Tensor:
    r"""Cluster-aware contrastive loss between two views of each cell (CICL, eq. 15–16).

    For the 2n views z with labels l, cosine similarity s and temperature T,
    :math:`\frac{1}{2n}\sum_i -\log\frac{\sum_{j \ne i,\, l_j = l_i} \exp(s(z_i, z_j)/T)}
    {\sum_{l_j \ne l_i} \exp(s(z_i, z_j)/T)}`.
    The denominator has no positives, so the ratio has no upper bound and the loss can be negative.
    With batches, the j of the denominator are views of the batch of i.

    Parameters
    ----------
    first, second
        One view of every cell each, shape (n, d); row i of both is the same cell, or a
        neighbour of it. Need not be normalised.
    labels
        Cluster of each view, first those of `first` and then those of `second`, shape (2n,).
    temperature
        T, above 0.
    batches
        As in :func:`nt_xent`.

    Returns
    -------
    The mean over all 2n views, a scalar. A view without another one of its cluster, or without
    one of another cluster, adds 0.
    """

    def terms(logits: Tensor, rows: slice) -> Tensor:
        same = labels[rows, None] == labels
        left_out = same if batches is None else same | (batches[rows, None] != batches)
        # the view itself is of its own cluster
        compared = (same.sum(dim=1) > 1) & ~left_out.all(dim=1)
        same, left_out, logits = same[compared], left_out[compared], logits[compared]
        positive = logits.masked_fill(~same, float("-inf")).logsumexp(dim=1)
        negative = logits.masked_fill(left_out, float("-inf")).logsumexp(dim=1)
        return (negative - positive).sum()

    return _mean_over_views(first, second, temperature, terms)


def student_t(points: Tensor, centroids: Tensor, alpha: float = 1.0) -> Tensor:
    r"""Soft assignment of points to centroids by Student's t-distribution (CICL, eq. 8.

    DEC, eq. 1).

    :math:`q_{ij} \propto (1 + \lVert h_i - c_j \rVert^2 / \alpha)^{-(\alpha + 1)/2}`; the sum
    over j is 1.

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

    With more than one block, none is kept for the backward pass: it is computed again there, so
    that memory grows with 2n instead of with its square.

    Parameters
    ----------
    first, second
        Views, shape (n, d) each.
    temperature
        What cosine similarities are divided by.
    terms
        Summed loss of the views in a slice, given their similarities with all views, shape
        (rows, 2n), where −∞ stands for that of a view with itself.
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


def decoded_zinb_nll(x: Tensor, decoded: Tensor, relative_size: Tensor, log_dispersion: Tensor) -> Tensor:
    """Negative log-likelihood of counts given the output of a decoder.

    The distribution is :class:`~scx.model._core.zinb.SparseZINB`.

    Parameters
    ----------
    x
        Counts, shape (n, n_genes).
    decoded
        Side by side for all genes: log mean at size 1, logit of a dropout, and log
        dispersion if it belongs to gene and cell; shape (n, 2 or 3 times n_genes).
    relative_size
        Factor of the means, shape (n, 1).
    log_dispersion
        Log dispersion of each gene, shape (n_genes,); not read if `decoded` has it.

    Returns
    -------
    Sum over the genes of each cell, shape (n,).
    """
    log_mean, dropout_logits, *rest = decoded.chunk(decoded.shape[1] // x.shape[1], dim=1)
    log_dispersion = rest[0] if rest else log_dispersion
    mean = log_mean.clamp(*LOG_RATE_RANGE).exp() * relative_size
    law = SparseZINB(mu=mean, theta=log_dispersion.clamp(*LOG_RATE_RANGE).exp(), zi_logits=dropout_logits)
    return -law.log_prob(x).sum(dim=1)


def gaussian_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Negative log-likelihood of values under independent normal distributions.

    :math:`\frac{1}{2} \sum_g \left(\ln 2\pi\sigma_g^2 + (x_g - \mu_g)^2 / \sigma_g^2\right)`.

    Parameters
    ----------
    x, mean
        Values and their means, shape (n, n_genes).
    log_variance
        :math:`\ln \sigma^2`, shape (n, n_genes) or (n_genes,).

    Returns
    -------
    Sum over the genes of each cell, shape (n,).
    """
    return 0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 * torch.exp(-log_variance)).sum(dim=1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Kullback–Leibler divergence of diagonal normal distributions from the standard normal one.

    :math:`\frac{1}{2} \sum_j \left(\mu_j^2 + \sigma_j^2 - \ln \sigma_j^2 - 1\right)`.

    Parameters
    ----------
    mean, log_variance
        :math:`\mu` and :math:`\ln \sigma^2`, shape (n, d).

    Returns
    -------
    Shape (n,).
    """
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(dim=1)


def mmd(first: Tensor, second: Tensor, kernel: str = "imq") -> Tensor:
    r"""Squared maximum mean discrepancy between the distributions of two samples, without bias.

    :math:`\frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
    - \frac{2}{nm} \sum_{i, j} k(x_i, y_j)`.
    Its mean over samples of one distribution is 0, so single values may be negative.
    k is a mean over the scales s of `KERNEL_SCALES`. With :math:`c = 2 d s`, the kernel ``"rbf"``
    is :math:`\exp(-\lVert x - y \rVert^2 / c)`, and ``"imq"`` is
    :math:`c / (c + \lVert x - y \rVert^2)`, whose gradient also reaches points far away. 2d is the
    mean squared distance between two points of the standard normal distribution, the prior.

    Parameters
    ----------
    first, second
        Samples, shapes (n, d) and (m, d), at least two points each.
    kernel
        ``"rbf"`` or ``"imq"``.

    Returns
    -------
    A scalar.
    """
    function = KERNELS[kernel]

    def mean_kernel(x: Tensor, y: Tensor) -> Tensor:
        squares = (x**2).sum(dim=1)[:, None] + (y**2).sum(dim=1) - 2 * x @ y.T
        squares = squares.clamp_min(0) / (2 * x.shape[1])
        return torch.stack([function(squares / scale) for scale in KERNEL_SCALES]).mean(dim=0)

    def mean_of_pairs(x: Tensor) -> Tensor:
        values = mean_kernel(x, x)
        return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))

    return mean_of_pairs(first) + mean_of_pairs(second) - 2 * mean_kernel(first, second).mean()


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "rbf": lambda squares: torch.exp(-squares),
    "imq": lambda squares: 1 / (1 + squares),
}
"""Kernels of :func:`mmd` as functions of the squared distance over the bandwidth."""


def sharpened_target(assignment: Tensor) -> Tensor:
    r"""Return the target that sharpens soft assignments and gives all clusters the same weight.

    :math:`p_{ij} = \frac{q_{ij}^2 / f_j}{\sum_{j'} q_{ij'}^2 / f_{j'}}` with
    :math:`f_j = \sum_i q_{ij}` (DEC, eq. 3; ScInfoVAE, eq. 10, which writes the sum over cells as
    one over clusters).

    Parameters
    ----------
    assignment
        q of all cells, shape (n, k).

    Returns
    -------
    Shape (n, k), rows sum to 1; no gradient flows through it.
    """
    weights = assignment.detach() ** 2 / assignment.detach().sum(dim=0)
    return weights / weights.sum(dim=1, keepdim=True)


def clustering_divergence(target: Tensor, assignment: Tensor) -> Tensor:
    r"""Kullback–Leibler divergence of soft assignments from their target.

    :math:`\sum_j p_{ij} \ln (p_{ij} / q_{ij})` (ScInfoVAE, eq. 9).

    Parameters
    ----------
    target, assignment
        p and q, shape (n, k).

    Returns
    -------
    Shape (n,).
    """
    return F.kl_div(assignment.log(), target, reduction="none").sum(dim=1)
