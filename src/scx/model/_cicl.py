"""CICL: Jiang, Wang, Guan & Zhou, arXiv:2312.16600 (2023). Equation numbers are those of the article."""

import warnings
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from scvi.module.base import auto_move_data
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from scx._config import Noise, Positive, Range, Rate, Temperature, Weight, Width
from scx.model._core.losses import cluster_aware, nt_xent, student_t
from scx.model._core.model import DeepClusteringModule, Recipe
from scx.model._core.networks import TransformerLayer
from scx.model._core.normalize import LogNormalize
from scx.model._core.pairs import NeighborPairs
from scx.model._core.plan import EpochPlan

MAX_CELLS = 10_000
"""Cells that the centroids of an epoch are computed from, a random sample of more."""


class CICLModule(DeepClusteringModule):
    """Transformer whose views of a cell are pulled together, and with them cells of one cluster, as found on the way.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_clusters
        Number of clusters that pseudo-labels tell apart; of fewer distinct cells, as many.
    n_latent
        Width of the encoder and so of the embedding, to which the genes are mapped linearly; None for the width that the
        genes have, without such a map.
    n_layers
        Number of layers of the encoder.
    n_heads
        Number of heads of self-attention.
    n_hidden
        Width of the hidden layer of each feed-forward network.
    n_projection
        Widths of the two layers of the projection head.
    attention
        ``"cell"``: each cell attends to itself, and its embedding depends on nothing else. ``"batch"``: cells attend to all
        cells of their batch (eq. 3–4), so that the embedding of a cell depends on those it is embedded with.
    n_neighbors
        The second view is one of a random neighbour of the cell among so many; 0 for one of the cell itself.
    noise
        Noise that is added in a view: normal, and mapped linearly to the range from 0 to `noise`.
    mask_rate
        Probability with which a gene is masked in a view; the rest is scaled by 1/(1 − mask_rate), as dropout does.
    pseudo_labels
        What KMeans takes its centroids from: ``"minibatch"``, the cells of each minibatch, at every step; ``"epoch"``, all
        cells, or a sample of 10,000, at the start of each epoch.
    cluster_weight
        λ, weight of the cluster-aware loss (eq. 17). With 0 there are no pseudo-labels.
    temperature
        T of both losses.
    alpha
        α, degrees of freedom of Student's t-distribution (eq. 8).
    max_value
        Clipping of z-scores; None does not clip.
    """

    centroids: Tensor

    losses = ("loss", "instance_loss", "cluster_loss")

    def __init__(
        self,
        n_genes: int,
        *,
        n_clusters: Annotated[int, Range(2)],
        n_latent: Annotated[int, Range(2, 100_000)] | None,  # LayerNorm of one dimension is 0 for every cell
        n_layers: Annotated[int, Range(1, 100)],
        n_heads: Annotated[int, Range(1, 1000)],
        n_hidden: Width,
        n_projection: tuple[Width, Width],
        attention: Literal["cell", "batch"],
        n_neighbors: Annotated[int, Range(0, 1000)],
        noise: Noise,
        mask_rate: Rate,
        pseudo_labels: Literal["minibatch", "epoch"],
        cluster_weight: Weight,
        temperature: Temperature,
        alpha: Positive,
        max_value: Positive | None,
    ) -> None:
        super().__init__()
        self.n_clusters = n_clusters
        self.attention = attention
        self.n_neighbors = n_neighbors
        self.noise = noise
        self.mask_rate = mask_rate
        self.pseudo_labels = pseudo_labels
        self.cluster_weight = cluster_weight
        self.temperature = temperature
        self.alpha = alpha
        self.normalize = LogNormalize(n_genes, max_value)
        width = n_latent or n_genes
        layers: list[nn.Module] = [TransformerLayer(width, n_heads, n_hidden, attention) for _ in range(n_layers)]
        if n_latent:
            layers.insert(0, nn.Linear(n_genes, width))
        self.encoder = nn.Sequential(*layers)
        between, last = n_projection
        self.projection = nn.Sequential(  # eq. 10–11
            nn.Linear(width, between, bias=False), nn.ReLU(), nn.Linear(between, last, bias=False)
        )
        self.register_buffer("centroids", None, persistent=False)

    @property
    def embeds_in_context(self) -> bool:
        """Whether cells attend to the other cells of their batch."""
        return self.attention == "batch"

    @auto_move_data
    def embed(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return H, the output of the encoder for unchanged cells."""
        return self.encoder(self.normalized(tensors))

    def loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss between two views of each cell (eq. 17) and its parts.

        Where neighbours take part, the batch holds the cells and then one neighbour of each.
        """
        x = self.normalized(tensors)
        cells, others = x.chunk(2) if self.n_neighbors else (x, x)
        first, second = (self.projection(self.encoder(self._view(pair))) for pair in (cells, others))
        instance = nt_xent(first, second, self.temperature)
        if not self.cluster_weight:
            return {"loss": instance}
        # the view of a neighbour has the pseudo-label of the neighbour
        labels = self._assign(x) if self.n_neighbors else self._assign(x).repeat(2)
        cluster = cluster_aware(first, second, labels, self.temperature)
        return {"loss": instance + self.cluster_weight * cluster, "instance_loss": instance, "cluster_loss": cluster}

    @torch.no_grad()
    def find_centroids(self, h: Tensor) -> Tensor:
        """Return the centroids of KMeans on embeddings `h`, shape (n, width), without those of empty clusters."""
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator that all else in training draws from
        kmeans = KMeans(min(self.n_clusters, len(h)), n_init=1, random_state=seed)
        with warnings.catch_warnings():
            # Of fewer distinct cells than clusters, scikit-learn makes empty clusters with the centroid of another one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(h.cpu().numpy())
        return torch.from_numpy(np.unique(kmeans.cluster_centers_, axis=0)).to(h)

    @torch.no_grad()
    def _assign(self, x: Tensor) -> Tensor:
        """Return the pseudo-labels of normalised cells (eq. 8–9), shape (n,)."""
        h = self.encoder(x)
        centroids = self.find_centroids(h) if self.pseudo_labels == "minibatch" else self.centroids
        return student_t(h, centroids, self.alpha).argmax(dim=1)

    def _view(self, x: Tensor) -> Tensor:
        if self.noise:
            draw = torch.randn_like(x)
            low, high = draw.aminmax()
            x = x + (draw - low) * (self.noise / (high - low))
        return F.dropout(x, self.mask_rate)


class Recluster(Callback):
    """Renew the centroids of a :class:`CICLModule` at the start of each epoch.

    Parameters
    ----------
    model
        Model in training.
    """

    def __init__(self, model: "CICL") -> None:
        self.model = model

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run KMeans on the embedding of all cells, or of another random sample in each epoch."""
        cells = torch.randperm(self.model.adata.n_obs)[:MAX_CELLS].sort().values.numpy()
        module = self.model.module
        module.centroids = module.find_centroids(self.model.embed_while_training(cells))


class CICL(NeighborPairs):
    """Cluster-aware iterative contrastive learning model :cite:p:`Jiang2023`.

    The default recipe was chosen on labelled data for its quality per second: genes, views, batches and schedule as for
    :class:`Contrastive`, a narrow encoder, which trains in seconds where the paper's takes hours, and T = 0.3, at which close
    types come apart that they do not at 0.5.

    Parameters
    ----------
    adata
        AnnData registered with :meth:`setup_anndata`.
    registry
        Registry of a saved model, in place of `adata`.
    recipe
        ``"default"`` or ``"paper"``; where other arguments and those of :meth:`train` are not given, they are the recipe's.
    **module_kwargs
        Arguments of the module: ``n_clusters``, ``n_latent``, ``n_layers``, ``n_heads``, ``n_hidden``, ``n_projection``,
        ``attention``, ``n_neighbors``, ``noise``, ``mask_rate``, ``pseudo_labels``, ``cluster_weight``, ``temperature``,
        ``alpha``, ``max_value``.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.model.CICL.setup_anndata(adata)
    >>> model = scx.model.CICL(adata, n_clusters=8)
    >>> model.train()
    >>> adata.obsm["X_cicl"] = model.get_latent_representation()
    """

    _module_cls = CICLModule
    _training_plan_cls = EpochPlan
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module={
                "n_clusters": 20,
                "n_latent": 64,
                "n_layers": 2,
                "n_heads": 4,
                "n_hidden": 256,
                "n_projection": (128, 64),
                "attention": "cell",
                "n_neighbors": 15,
                "noise": 0.0,
                "mask_rate": 0.9,
                "pseudo_labels": "epoch",
                "cluster_weight": 0.1,
                "temperature": 0.3,
                "alpha": 1.0,
                "max_value": 10.0,
            },
            train={
                "max_epochs": 30,
                "min_steps": 300,
                "batch_size": 200,
                "plan_kwargs": {"lr": 0.001, "schedule": "cosine"},
                "settle_batch_norm": False,
            },
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=1,
            use_flagged_genes=False,
            module={
                "n_clusters": 20,
                "n_latent": None,
                "n_layers": 4,
                "n_heads": 4,
                "n_hidden": 1024,
                "n_projection": (1024, 512),
                "attention": "batch",
                "n_neighbors": 0,
                "noise": 1.0,
                "mask_rate": 0.0,
                "pseudo_labels": "minibatch",
                "cluster_weight": 0.1,
                "temperature": 0.5,
                "alpha": 1.0,
                "max_value": None,
            },
            train={
                "max_epochs": 1000,
                "min_steps": 0,
                "batch_size": 6000,
                "plan_kwargs": {"lr": 1e-5},
                "settle_batch_norm": False,
            },
        ),
    }

    def _callbacks(self) -> list[Callback]:
        module = self.module
        return [Recluster(self)] if module.cluster_weight and module.pseudo_labels == "epoch" else []
