"""Module of ScInfoVAE. Equation numbers are those of the article."""

import torch
from torch import Tensor, nn

from scx._compat import auto_move_data
from scx.model._core.losses import (
    LOG_RATE_RANGE,
    clustering_divergence,
    decoded_zinb_nll,
    gaussian_kl,
    gaussian_nll,
    mmd,
    student_t,
)
from scx.model._core.module import DeepClusteringModule
from scx.model._core.networks import mlp_encoder
from scx.model._core.normalize import LogNormalize
from scx.model._core.source import Batch

from .config import InfoVAEConfig

LOG_VARIANCE_RANGE = (-10.0, 10.0)
"""Logarithms of variances are clamped to this range, so that their exponentials stay finite."""


class InfoVAEModule(DeepClusteringModule):
    """Variational autoencoder with a prior for the aggregate posterior and a clustering loss.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Network, likelihood and losses.
    n_batches
        Number of batches that the decoder is told of; 0 for none. The encoder is not told of them.
    """

    losses = ("loss", "reconstruction_loss", "kl_divergence", "mmd")
    config: InfoVAEConfig

    def __init__(self, n_genes: int, config: InfoVAEConfig, n_batches: int = 0) -> None:
        super().__init__()
        self.config = config
        is_gaussian = config.likelihood == "gaussian"
        self.normalize = LogNormalize(n_genes, config.max_value, log=not is_gaussian)
        self.encoder = mlp_encoder(
            n_genes, config.n_hidden, 2 * config.n_latent, batch_norm=config.batch_norm, noise=config.noise
        )
        has_gene_scale = is_gaussian or config.dispersion == "gene"
        parameters_per_gene = 1 if is_gaussian else 2 if has_gene_scale else 3
        self.decoder = mlp_encoder(
            config.n_latent,
            config.n_hidden[::-1],
            parameters_per_gene * n_genes,
            batch_norm=config.batch_norm,
            n_batches=n_batches,
        )
        # ln σ² of values, ln θ of counts
        self.log_gene_scale = nn.Parameter(torch.zeros(n_genes if has_gene_scale else 0))
        self.centers = nn.Parameter(torch.zeros(config.n_clusters or 0, config.n_latent))

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z | x), shape (n, n_latent) each."""
        mean, log_variance = self.encoder(self.normalized(batch)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    @staticmethod
    def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Draw from a normal distribution with independent dimensions, differentiably.

        Shapes (n, n_latent).
        """
        return mean + (log_variance / 2).exp() * torch.randn_like(mean)

    def encode(self, x: Tensor) -> Tensor:
        """Return the mean of q(z | x)."""
        mean: Tensor = self.encoder(x).chunk(2, dim=1)[0]
        return mean

    @auto_move_data
    def draw(self, batch: Batch) -> Tensor:
        """Return a draw from q(z | x), shape (n, n_latent)."""
        return self.sample(*self.posterior(batch))

    @auto_move_data
    def expression(self, batch: Batch) -> Tensor:
        """Return the expected expression at the mean of q(z | x), shape (n, n_genes).

        Counts are those of a cell with the median size factor and without dropouts; other
        values are in the units of the data.
        """
        decoded: Tensor = self.decoder(self.embed(batch), batch.batch)
        if self.config.likelihood == "gaussian":
            return decoded * self.normalize.std + self.normalize.mean
        return decoded[:, : self.normalize.mean.numel()].clamp(*LOG_RATE_RANGE).exp()

    @auto_move_data
    def elbo(self, batch: Batch) -> Tensor:
        """Return the evidence lower bound of each cell, one draw from q(z | x), shape (n, 1)."""
        mean, log_variance = self.posterior(batch)
        z = self.sample(mean, log_variance)
        return -(self._reconstruction(batch, z) + gaussian_kl(mean, log_variance))[:, None]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of eq. 3 with reversed sign, and of eq. 12 if the batch has a target."""
        mean, log_variance = self.posterior(batch)
        z = self.sample(mean, log_variance)
        losses = {
            "reconstruction_loss": self._reconstruction(batch, z).mean(),
            "kl_divergence": gaussian_kl(mean, log_variance).mean(),
            "mmd": mmd(z, torch.randn_like(z), self.config.kernel),
        }
        loss = (
            losses["reconstruction_loss"]
            + (1 - self.config.alpha) * losses["kl_divergence"]
            + (self.config.alpha + self.config.lambda_ - 1) * losses["mmd"]
        )
        if batch.target is not None:
            divergence = clustering_divergence(batch.target, student_t(mean, self.centers))
            losses["clustering_loss"] = divergence.mean()
            loss = loss + self.config.gamma * losses["clustering_loss"]
        return {"loss": loss, **losses}

    def _reconstruction(self, batch: Batch, z: Tensor) -> Tensor:
        """Return the negative log-likelihood of each cell given its embedding, shape (n,)."""
        decoded = self.decoder(z, batch.batch)
        if self.config.likelihood == "gaussian":
            return gaussian_nll(self.normalized(batch), decoded, self.log_gene_scale.clamp(*LOG_VARIANCE_RANGE))
        relative_size = batch.size_factor / self.normalize.median
        return decoded_zinb_nll(batch.x, decoded, relative_size, self.log_gene_scale)
