"""CICL: Jiang, Wang, Guan & Zhou, arXiv:2312.16600 (2023).

Equation numbers are those of the article.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from scx._config import Noise, Positive, Range, Weight, Width

from ._core.losses import cluster_aware, nt_xent, student_t
from ._core.networks import TransformerLayer
from ._core.pairs import PairConfig, PairModel, PairModule
from ._core.recipe import Recipe, TrainingConfig
from ._core.source import Batch

MAX_CELLS = 10_000
"""Cells from which the centroids of an epoch are computed; a random sample if there are more."""


@dataclass(frozen=True, kw_only=True)
class CICLConfig(PairConfig):
    """Transformer, views and losses of CICL."""

    n_clusters: Annotated[int, Range(2)]
    """Number of clusters of the pseudo-labels; fewer if there are fewer distinct cells."""
    n_latent: Annotated[int, Range(2, 100_000)] | None  # LayerNorm of one dimension is 0 for every cell
    """Width of the encoder and of the embedding, to which the genes are mapped linearly. None for
    the number of genes, without such a map."""
    n_layers: Annotated[int, Range(1, 100)]
    """Number of layers of the encoder."""
    n_heads: Annotated[int, Range(1, 1000)]
    """Number of heads of self-attention."""
    n_hidden: Width
    """Width of the hidden layer of each feed-forward network."""
    n_projection: tuple[Width, Width]
    """Widths of the two layers of the projection head."""
    attention: Literal["cell", "batch"]
    """``"cell"``: each cell attends to itself, and its embedding depends on nothing else.
    ``"batch"``: cells attend to all cells of their batch (eq. 3–4), and the embedding of a cell
    depends on the cells it is embedded with."""
    noise: Noise
    """Size of the noise in a view: normal noise, mapped linearly to values from 0 to `noise`."""
    pseudo_labels: Literal["minibatch", "epoch"]
    """Cells from which KMeans takes its centroids: ``"minibatch"``, the cells of each minibatch, at
    every step; ``"epoch"``, all cells, or a sample of 10,000, at the start of each epoch."""
    cluster_weight: Weight
    """λ, weight of the cluster-aware loss (eq. 17). With 0 there are no pseudo-labels."""
    alpha: Positive
    """α, degrees of freedom of Student's t-distribution (eq. 8)."""


class CICLModule(PairModule):
    """Transformer that pulls together views of a cell, and cells of one cluster.

    The clusters are found during training.

    Parameters
    ----------
    n_genes
        Number of genes.
    config
        Encoder, views and losses.
    """

    losses = ("loss", "instance_loss", "cluster_loss")
    config: CICLConfig
    centroids: Tensor

    def __init__(self, n_genes: int, config: CICLConfig) -> None:
        width = config.n_latent or n_genes
        super().__init__(n_genes, config, width)
        layers: list[nn.Module] = [
            TransformerLayer(width, config.n_heads, config.n_hidden, config.attention) for _ in range(config.n_layers)
        ]
        if config.n_latent:
            layers.insert(0, nn.Linear(n_genes, width))
        self.encoder = nn.Sequential(*layers)
        between, last = config.n_projection
        self.projection = nn.Sequential(  # eq. 10–11
            nn.Linear(width, between, bias=False), nn.ReLU(), nn.Linear(between, last, bias=False)
        )
        self.register_buffer("centroids", None, persistent=False)

    @property
    def embeds_in_context(self) -> bool:
        """Whether cells attend to the other cells of their batch."""
        return self.config.attention == "batch"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss between two views of each cell (eq. 17) and its parts.

        With neighbours, the batch holds the cells and then one neighbour of each.
        """
        x = self.normalized(batch)
        cells, others = x.chunk(2) if self.config.n_neighbors else (x, x)
        first, second = (self.projection(self.encoder(self._view(pair))) for pair in (cells, others))
        batches = self._batches_of_views(batch)
        instance = nt_xent(first, second, self.config.temperature, batches)
        if not self.config.cluster_weight:
            return {"loss": instance}
        # The view of a neighbour has the pseudo-label of the neighbour.
        labels = self._assign(x) if self.config.n_neighbors else self._assign(x).repeat(2)
        cluster = cluster_aware(first, second, labels, self.config.temperature, batches)
        return {
            "loss": instance + self.config.cluster_weight * cluster,
            "instance_loss": instance,
            "cluster_loss": cluster,
        }

    @torch.no_grad()
    def find_centroids(self, h: Tensor) -> Tensor:
        """Return the KMeans centroids of embeddings `h`, shape (n, width).

        Empty clusters have none.
        """
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator of the training
        kmeans = KMeans(min(self.config.n_clusters, len(h)), n_init=1, random_state=seed)
        with warnings.catch_warnings():
            # With fewer distinct cells than clusters, scikit-learn gives empty
            # clusters the centroid of another one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(h.cpu().numpy())
        return torch.from_numpy(np.unique(kmeans.cluster_centers_, axis=0)).to(h)

    @torch.no_grad()
    def _assign(self, x: Tensor) -> Tensor:
        """Return the pseudo-labels of normalised cells (eq. 8–9), shape (n,)."""
        h = self.encoder(x)
        centroids = self.find_centroids(h) if self.config.pseudo_labels == "minibatch" else self.centroids
        return student_t(h, centroids, self.config.alpha).argmax(dim=1)

    def _view(self, x: Tensor) -> Tensor:
        if self.config.noise:
            draw = torch.randn_like(x)
            low, high = draw.aminmax()
            x = x + (draw - low) * (self.config.noise / (high - low))
        return F.dropout(x, self.config.mask_rate)


class Recluster(Callback):
    """Compute the centroids of a :class:`CICLModule` again at the start of each epoch.

    Parameters
    ----------
    embed
        Returns the current embedding of the cells in some rows, shape (n, width).
    n_obs
        Number of cells.
    """

    def __init__(self, embed: Callable[[NDArray[np.int64]], Tensor], n_obs: int) -> None:
        self.embed = embed
        self.n_obs = n_obs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run KMeans on the embedding of all cells, or of a new random sample in each epoch."""
        rows = torch.randperm(self.n_obs)[:MAX_CELLS].sort().values.numpy()
        module = pl_module.module
        assert isinstance(module, CICLModule)
        module.centroids = module.find_centroids(self.embed(rows))


class CICL(PairModel):
    """Cluster-aware iterative contrastive learning model :cite:p:`Jiang2023`.

    The default recipe was chosen on labelled data for its quality per second. Genes, views, batches
    and schedule are those of :class:`Contrastive`. The encoder is narrow: it trains in seconds, the
    paper's in hours. T = 0.3 separates close types that 0.5 does not.

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
    >>> scx.model.CICL.setup_anndata(adata)
    >>> model = scx.model.CICL(adata, n_clusters=8)
    >>> model.train()
    >>> adata.obsm["X_cicl"] = model.get_latent_representation()
    """

    _module_cls = CICLModule
    module: CICLModule
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module=CICLConfig(
                n_clusters=20,
                n_latent=64,
                n_layers=2,
                n_heads=4,
                n_hidden=256,
                n_projection=(128, 64),
                attention="cell",
                n_neighbors=15,
                noise=0.0,
                mask_rate=0.9,
                pseudo_labels="epoch",
                cluster_weight=0.1,
                temperature=0.3,
                alpha=1.0,
                max_value=10.0,
                n_components=20,
            ),
            training=TrainingConfig(max_epochs=30, min_steps=300, batch_size=200, lr=0.001, schedule="cosine"),
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=1,
            use_flagged_genes=False,
            module=CICLConfig(
                n_clusters=20,
                n_latent=None,
                n_layers=4,
                n_heads=4,
                n_hidden=1024,
                n_projection=(1024, 512),
                attention="batch",
                n_neighbors=0,
                noise=1.0,
                mask_rate=0.0,
                pseudo_labels="minibatch",
                cluster_weight=0.1,
                temperature=0.5,
                alpha=1.0,
                max_value=None,
            ),
            training=TrainingConfig(max_epochs=1000, batch_size=6000, lr=1e-5),
        ),
    }

    def _callbacks(self) -> list[Callback]:
        config = self.module.config
        if not config.cluster_weight or config.pseudo_labels != "epoch":
            return []
        return [Recluster(partial(self.while_training, self.module.output), self.adata.n_obs)]
