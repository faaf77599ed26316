"""The module of a method: only its mathematics."""

from typing import ClassVar

from scvi.module.base import BaseModuleClass
from torch import Tensor, nn

from scx._compat import auto_move_data

from .normalize import LogNormalize
from .recipe import ModuleConfig
from .source import Batch


class DeepClusteringModule(BaseModuleClass):
    """Normalisation, an embedding and a loss. Subclasses define :meth:`loss`.

    They define :meth:`encode` too, unless the embedding is the output of the encoder.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Network and losses.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of the losses that every epoch has, in all phases."""
    config: ModuleConfig
    normalize: LogNormalize
    encoder: nn.Module

    @property
    def embeds_in_context(self) -> bool:
        """Whether the embedding of a cell depends on the other cells of its batch."""
        return False

    @property
    def least_batch_share(self) -> float:
        """Least size of a batch, as a share of a full batch.

        Batch normalisation needs more than a few cells.
        """
        return 0.5 if any(isinstance(layer, nn.BatchNorm1d) for layer in self.modules()) else 0.0

    @auto_move_data
    def normalized(self, batch: Batch) -> Tensor:
        """Return the normalised expression of a batch, shape (n, n_genes)."""
        normalized: Tensor = self.normalize(batch.x, batch.size_factor)
        return normalized

    @auto_move_data
    def log_normalized(self, batch: Batch) -> Tensor:
        """Return the normalised expression before centering and scaling, shape (n, n_genes)."""
        return self.normalize.log_normalized(batch.x, batch.size_factor)

    def encode(self, x: Tensor) -> Tensor:
        """Return the embedding, shape (n, n_latent), of normalised expression `x`, nothing changed.

        `x` has the shape (n, n_genes).
        """
        embedding: Tensor = self.encoder(x)
        return embedding

    @auto_move_data
    def embed(self, batch: Batch) -> Tensor:
        """Return the embedding of a batch, shape (n, n_latent)."""
        return self.encode(self.normalized(batch))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch by name, scalars. The one named ``loss`` is minimised."""
        raise NotImplementedError
