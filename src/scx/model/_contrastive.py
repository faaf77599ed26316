"""contrastive-sc: Ciortan & Defrance, BMC Bioinformatics 22:280 (2021)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from scvi.module.base import auto_move_data
from torch import Tensor
from torch.nn import functional as F

from scx._config import Positive, Range, Rate, Temperature, Width
from scx.model._core.losses import nt_xent
from scx.model._core.model import DeepClusteringModule, Recipe
from scx.model._core.networks import mlp_encoder
from scx.model._core.normalize import LogNormalize
from scx.model._core.pairs import NeighborPairs
from scx.model._core.plan import EpochPlan


class ContrastiveModule(DeepClusteringModule):
    """Encoder whose embeddings of two randomly masked views of a cell are pulled together, away from all others.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Widths of the hidden layers.
    n_latent
        Width of the last layer, the embedding.
    n_neighbors
        The second view is one of a random neighbour of the cell among so many; 0 for one of the cell itself.
    mask_rate
        Probability with which a gene is masked in a view; the rest is scaled by 1/(1 − mask_rate), as dropout does.
    temperature
        Temperature of the NT-Xent loss.
    max_value
        Clipping of z-scores; None does not clip.
    """

    def __init__(
        self,
        n_genes: int,
        *,
        n_hidden: Sequence[Width],
        n_latent: Width,
        n_neighbors: Annotated[int, Range(0, 1000)],
        mask_rate: Rate,
        temperature: Temperature,
        max_value: Positive | None,
    ) -> None:
        super().__init__()
        self.n_neighbors = n_neighbors
        self.mask_rate = mask_rate
        self.temperature = temperature
        self.normalize = LogNormalize(n_genes, max_value)
        self.encoder = mlp_encoder(n_genes, n_hidden, n_latent)

    @auto_move_data
    def embed(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the L2-normalised output of the last layer, nothing masked."""
        return F.normalize(self.encoder(self.normalized(tensors)), dim=1)

    def loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the NT-Xent loss between two views of each cell, masked independently.

        Where neighbours take part, the batch holds the cells and then one neighbour of each.
        """
        x = self.normalized(tensors)
        pairs = x if self.n_neighbors else torch.cat([x, x])
        first, second = self.encoder(F.dropout(pairs, self.mask_rate)).chunk(2)
        return {"loss": nt_xent(first, second, self.temperature)}


class Contrastive(NeighborPairs):
    """Contrastive clustering model :cite:p:`Ciortan2021`.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`.
    registry
        Registry of a saved model, in place of `adata`.
    recipe
        ``"default"`` or ``"paper"``; where other arguments and those of :meth:`train` are not given, they are the recipe's.
    **module_kwargs
        Arguments of the module: ``n_hidden``, ``n_latent``, ``n_neighbors``, ``mask_rate``, ``temperature``, ``max_value``.

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
    _training_plan_cls = EpochPlan
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module={
                "n_hidden": (200, 40),
                "n_latent": 60,
                "n_neighbors": 15,
                "mask_rate": 0.9,
                "temperature": 0.5,
                "max_value": 10.0,
            },
            train={
                "max_epochs": 30,
                "min_steps": 300,
                "batch_size": 200,
                "plan_kwargs": {"lr": 0.01, "schedule": "cosine"},
                "settle_batch_norm": True,
            },
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=2,
            use_flagged_genes=False,
            module={
                "n_hidden": (200, 40),
                "n_latent": 60,
                "n_neighbors": 0,
                "mask_rate": 0.9,
                "temperature": 0.07,
                "max_value": None,
            },
            train={
                "max_epochs": 30,
                "min_steps": 0,
                "batch_size": 200,
                "plan_kwargs": {"lr": 0.4, "schedule": "cosine"},
                "settle_batch_norm": False,
            },
        ),
    }
