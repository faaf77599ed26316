"""The zero-inflated negative binomial distribution of scvi-tools, faster for sparse counts."""

import torch
from scvi.distributions import ZeroInflatedNegativeBinomial
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-8
"""Added to mean and dispersion, so that a mean of 0 has a finite logarithm.

The value of scvi-tools.
"""


class SparseZINB(ZeroInflatedNegativeBinomial):
    r"""Zero-inflated negative binomial distribution with a fast log-probability of sparse counts.

    With mean :math:`\mu`, inverse dispersion :math:`\theta`, and probability :math:`\pi` of a
    dropout, :math:`P(0) = \pi + (1 - \pi) (\theta / (\theta + \mu))^\theta`, and for x above 0
    :math:`P(x) = (1 - \pi) \frac{\Gamma(x + \theta)}{x!\,\Gamma(\theta)}
    (\theta / (\theta + \mu))^\theta (\mu / (\theta + \mu))^x`.
    Parameters, samples and moments are those of
    :class:`scvi.distributions.ZeroInflatedNegativeBinomial`.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return the log-probability of counts.

        The values are those of the base class. Zeros need no :math:`\Gamma`, so it is evaluated
        only at counts above 0.

        Parameters
        ----------
        value
            Counts, shape (n, n_genes).

        Returns
        -------
        Shape (n, n_genes).
        """
        mean, dispersion = self.mu + EPSILON, self.theta + EPSILON
        log_zero = -dispersion * torch.log1p(mean / dispersion)  # ln P(0) of the negative binomial
        logits = log_zero - self.zi_logits
        # P(0) = π (1 + exp(logits)); (1 − π) exp(log_zero) = π exp(logits) is the factor
        # of every other probability
        shared = F.logsigmoid(self.zi_logits) + torch.where(value > 0, logits, F.softplus(logits))

        above = value.reshape(-1).nonzero().squeeze(1)
        x, mean, dispersion = (values.reshape(-1).index_select(0, above) for values in (value, mean, dispersion))
        log_factor = torch.lgamma(x + dispersion) - torch.lgamma(dispersion) - torch.lgamma(x + 1)
        log_factor = log_factor - x * torch.log1p(dispersion / mean)
        return shared.reshape(-1).index_add(0, above, log_factor).reshape(value.shape)
