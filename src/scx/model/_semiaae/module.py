"""Module of scSemiAAE."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scx._compat import auto_move_data
from scx.model._core.losses import decoded_zinb_nll
from scx.model._core.module import DeepClusteringModule
from scx.model._core.networks import GaussianNoise, mlp_encoder
from scx.model._core.normalize import LogNormalize
from scx.model._core.source import Batch

from .config import SemiAAEConfig


class SemiAAEModule(DeepClusteringModule):
    """Autoencoder of counts.

    A discriminator holds its embedding to the prior, and a head predicts known types from it.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Networks and losses.
    n_types
        Number of known types; 0 for no head.
    """

    losses = ("loss", "reconstruction_loss")
    config: SemiAAEConfig
    inverse_temperature: Tensor

    def __init__(self, n_genes: int, config: SemiAAEConfig, n_types: int) -> None:
        super().__init__()
        self.config = config
        self.normalize = LogNormalize(n_genes, config.max_value)
        noise = [GaussianNoise(config.noise)] if config.noise > 0 else []
        self.corrupt = nn.Sequential(*noise, nn.Dropout(config.input_dropout))
        self.encoder = mlp_encoder(
            n_genes, config.n_hidden, config.n_latent, batch_norm=config.batch_norm, dropout=config.dropout
        )
        per_gene = config.dispersion == "gene"
        self.decoder = mlp_encoder(
            config.n_latent,
            config.n_decoder,
            (2 if per_gene else 3) * n_genes,
            batch_norm=config.batch_norm,
            dropout=config.dropout,
        )
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes if per_gene else 0))
        self.head = nn.Linear(config.n_latent, n_types) if n_types else None
        self.register_buffer("inverse_temperature", torch.ones(()))  # fitted after training
        self.discriminator = mlp_encoder(config.n_latent, config.n_discriminator, 1, batch_norm=False)

    @auto_move_data
    def type_probabilities(self, batch: Batch) -> Tensor:
        """Return the probability of each known type, shape (n, n_types)."""
        return self.probabilities_at(self.embed(batch))

    @auto_move_data
    def probabilities_at(self, z: Tensor) -> Tensor:
        """Return the probability of each known type for embeddings `z`, shape (n, n_types)."""
        return self._logits(z).softmax(dim=1)

    def log_probabilities_at(self, z: Tensor) -> Tensor:
        """Return ln of these probabilities, differentiably."""
        return self._logits(z).log_softmax(dim=1)

    def _logits(self, z: Tensor) -> Tensor:
        assert self.head is not None
        logits: Tensor = self.inverse_temperature * self.head(z)
        return logits

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch; known types are its target, see :meth:`_classification`.

        ``loss`` does not include ``discriminator_loss``, the cross-entropy of telling
        embedded cells from as many draws from the prior, which has no gradient for the
        encoder.
        """
        z = self._corrupted_embedding(batch)
        prior = torch.randn_like(z)
        losses = {
            "reconstruction_loss": self._reconstruction(batch, z),
            "generator_loss": F.softplus(-self.discriminator(z)).mean(),  # −ln d(z)
            "discriminator_loss": F.softplus(-self.discriminator(prior)).mean()
            + F.softplus(self.discriminator(z.detach())).mean(),
        }
        loss = self.config.reconstruction_weight * losses["reconstruction_loss"]
        loss = loss + self.config.adversarial_weight * losses["generator_loss"]
        if self.head is not None:
            assert batch.target is not None
            losses["classification_loss"] = self._classification(batch.target, self.head(z))
            loss = loss + self.config.classification_weight * losses["classification_loss"]
        return {"loss": loss, **losses}

    def pretraining_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the likelihood alone."""
        reconstruction = self._reconstruction(batch, self._corrupted_embedding(batch))
        return {"loss": self.config.reconstruction_weight * reconstruction, "reconstruction_loss": reconstruction}

    def _corrupted_embedding(self, batch: Batch) -> Tensor:
        embedding: Tensor = self.encoder(self.corrupt(self.normalized(batch)))
        return embedding

    @staticmethod
    def _classification(target: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy with a target, shapes (n, n_types), mean over rows.

        Rows of 0 do not count.
        """
        return -(target * logits.log_softmax(dim=1)).sum() / target.sum().clamp_min(1)

    def _reconstruction(self, batch: Batch, z: Tensor) -> Tensor:
        """Return the negative log-likelihood of the counts, mean over cells and genes."""
        relative_size = batch.size_factor / self.normalize.median
        return decoded_zinb_nll(batch.x, self.decoder(z), relative_size, self.log_dispersion).mean() / batch.x.shape[1]
