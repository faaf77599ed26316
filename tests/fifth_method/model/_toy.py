"""A linear autoencoder: the smallest method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from scx._config import Width

from ._core.model import DeepClusteringModel
from ._core.module import DeepClusteringModule
from ._core.normalize import LogNormalize
from ._core.recipe import ModuleConfig, Recipe, TrainingConfig
from ._core.source import Batch


@dataclass(frozen=True, kw_only=True)
class ToyConfig(ModuleConfig):
    """Encoder and decoder."""

    n_latent: Width
    """Dimensions of the embedding."""


class ToyModule(DeepClusteringModule):
    """Linear encoder and decoder.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Encoder and decoder.
    """

    config: ToyConfig

    def __init__(self, n_genes: int, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.normalize = LogNormalize(n_genes, config.max_value)
        self.encoder = nn.Linear(n_genes, config.n_latent)
        self.decoder = nn.Linear(config.n_latent, n_genes)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean squared error of the reconstructed z-scores."""
        x = self.normalized(batch)
        return {"loss": F.mse_loss(self.decoder(self.encoder(x)), x)}


class Toy(DeepClusteringModel):
    """Linear autoencoder.

    Parameters
    ----------
    {parameters}

    Notes
    -----
    {training}

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.model.Toy.setup_anndata(adata)
    >>> model = scx.model.Toy(adata)
    >>> model.train()
    >>> adata.obsm["X_toy"] = model.get_latent_representation()
    """

    _module_cls = ToyModule
    module: ToyModule
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module=ToyConfig(n_latent=10, max_value=10.0),
            training=TrainingConfig(max_epochs=30, batch_size=128, lr=0.001),
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=3,
            use_flagged_genes=False,
            module=ToyConfig(n_latent=20, max_value=None),
            training=TrainingConfig(max_epochs=10, batch_size=256, lr=0.01),
        ),
    }
