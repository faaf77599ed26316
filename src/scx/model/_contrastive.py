"""contrastive-sc: Ciortan & Defrance, BMC Bioinformatics 22:280 (2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from scx._config import Width

from ._core.losses import nt_xent
from ._core.networks import mlp_encoder
from ._core.pairs import PairConfig, PairModel, PairModule
from ._core.recipe import Recipe, TrainingConfig
from ._core.source import Batch


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig(PairConfig):
    """Encoder and views of contrastive-sc."""

    n_hidden: Sequence[Width]
    """Widths of the hidden layers."""
    n_latent: Width
    """Width of the last layer."""


class ContrastiveModule(PairModule):
    """Encoder that pulls together the embeddings of two masked views of a cell.

    It pushes all other cells away.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Encoder and views.
    """

    config: ContrastiveConfig

    def __init__(self, n_genes: int, config: ContrastiveConfig) -> None:
        super().__init__(n_genes, config, config.n_latent)
        self.encoder = mlp_encoder(n_genes, config.n_hidden, config.n_latent)

    def represent(self, x: Tensor) -> Tensor:
        """Return the L2-normalised output of the last layer, nothing masked."""
        return F.normalize(self.encoder(x), dim=1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the NT-Xent loss between two views of each cell, masked independently.

        With neighbours, the batch holds the cells and then one neighbour of each.
        """
        x = self.normalized(batch)
        pairs = x if self.config.n_neighbors else torch.cat([x, x])
        first, second = self.encoder(F.dropout(pairs, self.config.mask_rate)).chunk(2)
        return {"loss": nt_xent(first, second, self.config.temperature, self._batches_of_views(batch))}


class Contrastive(PairModel):
    """Contrastive clustering model :cite:p:`Ciortan2021`.

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
    >>> scx.model.Contrastive.setup_anndata(adata)
    >>> model = scx.model.Contrastive(adata)
    >>> model.train()
    >>> adata.obsm["X_contrastive"] = model.get_latent_representation()
    """

    _module_cls = ContrastiveModule
    module: ContrastiveModule
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module=ContrastiveConfig(
                n_hidden=(200, 40),
                n_latent=60,
                n_neighbors=15,
                mask_rate=0.9,
                temperature=0.5,
                max_value=10.0,
                n_components=20,
            ),
            training=TrainingConfig(
                max_epochs=30,
                min_steps=300,
                batch_size=200,
                lr=0.01,
                schedule="cosine",
                settle_batch_norm=True,
            ),
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=2,
            use_flagged_genes=False,
            module=ContrastiveConfig(
                n_hidden=(200, 40),
                n_latent=60,
                n_neighbors=0,
                mask_rate=0.9,
                temperature=0.07,
                max_value=None,
            ),
            training=TrainingConfig(max_epochs=30, batch_size=200, lr=0.4, schedule="cosine"),
        ),
    }
