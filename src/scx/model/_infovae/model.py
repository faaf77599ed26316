"""ScInfoVAE: Pan, Long & Pan, BioData Mining 16:17 (2023)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi.module.base import auto_move_data
from torch import Tensor, nn

from scx._clustering.fit import fit_partition
from scx._config import Count, LearningRate, Noise, Positive, Range, Share, Weight, Width
from scx._types import typed
from scx.model._core.losses import (
    LOG_RATE_RANGE,
    clustering_divergence,
    decoded_zinb_nll,
    gaussian_kl,
    gaussian_nll,
    mmd,
    sharpened_target,
    student_t,
)
from scx.model._core.model import DeepClusteringModel, DeepClusteringModule, Recipe
from scx.model._core.networks import mlp_encoder
from scx.model._core.normalize import LogNormalize
from scx.model._core.plan import EpochPlan
from scx.model._core.rows import RowSplitter, RowTargets

LOG_VARIANCE_RANGE = (-10.0, 10.0)
"""Logarithms of variances are kept in this range, so that their exponentials stay finite."""


class InfoVAEModule(DeepClusteringModule):
    r"""Variational autoencoder whose aggregate posterior is held to the prior, and whose embedding is sharpened to clusters.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Widths of the hidden layers of the encoder; the decoder has them in reverse.
    n_latent
        Dimensions of the embedding.
    n_clusters
        Number of clusters k of the second phase; None for no such phase.
    likelihood
        ``"zinb"`` for counts; ``"gaussian"`` for other values, which are centred and scaled gene by gene and nothing else.
    dispersion
        Dispersion of counts: one for each ``"gene"``, or ``"gene-cell"``, from the decoder.
    alpha
        α, weight of the mutual information between cells and embedding: the divergence of each cell's posterior from the
        prior weighs 1 − α. 0 is the bound of a plain variational autoencoder.
    lambda_
        λ: the divergence of the aggregate posterior from the prior weighs α + λ − 1.
    gamma
        γ, weight of the clustering loss in the second phase.
    kernel
        Kernel of the maximum mean discrepancy, see :func:`scx.model._core.losses.mmd`.
    batch_norm
        Whether hidden layers have batch normalisation.
    noise
        Standard deviation of the noise on the input and the hidden layers of the encoder in training.
    max_value
        Clipping of z-scores; None does not clip.
    """

    losses = ("loss", "reconstruction_loss", "kl_divergence", "mmd")

    def __init__(
        self,
        n_genes: int,
        *,
        n_hidden: Sequence[Width],
        n_latent: Width,
        n_clusters: Annotated[int, Range(2)] | None,
        likelihood: Literal["zinb", "gaussian"],
        dispersion: Literal["gene", "gene-cell"],
        alpha: Share,
        lambda_: Weight,
        gamma: Weight,
        kernel: Literal["imq", "rbf"],
        batch_norm: bool,
        noise: Noise,
        max_value: Positive | None,
    ) -> None:
        super().__init__()
        if alpha + lambda_ < 1:
            msg = f"`alpha + lambda_` must be at least 1, got {alpha:g} + {lambda_:g}: less drives the embedding away from the prior."
            raise ValueError(msg)
        self.n_clusters = n_clusters
        self.likelihood = likelihood
        self.alpha = alpha
        self.lambda_ = lambda_
        self.gamma = gamma
        self.kernel = kernel
        self.normalize = LogNormalize(n_genes, max_value, log=likelihood == "zinb")
        self.encoder = mlp_encoder(n_genes, n_hidden, 2 * n_latent, batch_norm=batch_norm, noise=noise)
        has_gene_scale = likelihood == "gaussian" or dispersion == "gene"
        parameters_per_gene = 1 if likelihood == "gaussian" else 2 if has_gene_scale else 3
        self.decoder = mlp_encoder(n_latent, n_hidden[::-1], parameters_per_gene * n_genes, batch_norm=batch_norm)
        # ln σ² of values, ln θ of counts
        self.log_gene_scale = nn.Parameter(torch.zeros(n_genes if has_gene_scale else 0))
        self.centers = nn.Parameter(torch.zeros(n_clusters or 0, n_latent))

    def posterior(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z | x), shape (n, n_latent) each."""
        mean, log_variance = self.encoder(self.normalized(tensors)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    @staticmethod
    def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Draw from a normal distribution with independent dimensions, differentiably; shapes (n, n_latent)."""
        return mean + (log_variance / 2).exp() * torch.randn_like(mean)

    @auto_move_data
    def embed(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the mean of q(z | x)."""
        return self.posterior(tensors)[0]

    @auto_move_data
    def draw(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return a draw from q(z | x), shape (n, n_latent)."""
        return self.sample(*self.posterior(tensors))

    @auto_move_data
    def expression(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the expected expression at the mean of q(z | x), shape (n, n_genes).

        Counts are those of a cell with the median size factor, dropouts not counted; other values are in the units of the data.
        """
        decoded = self.decoder(self.embed(tensors))
        if self.likelihood == "gaussian":
            return decoded * self.normalize.std + self.normalize.mean
        return decoded[:, : self.normalize.mean.numel()].clamp(*LOG_RATE_RANGE).exp()

    @auto_move_data
    def elbo(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the evidence lower bound of each cell, one draw from q(z | x), shape (n, 1)."""
        mean, log_variance = self.posterior(tensors)
        z = self.sample(mean, log_variance)
        return -(self._reconstruction(tensors, z) + gaussian_kl(mean, log_variance))[:, None]

    def loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of eq. 3 with reversed sign, and that of eq. 12 where the batch holds a target."""
        mean, log_variance = self.posterior(tensors)
        z = self.sample(mean, log_variance)
        losses = {
            "reconstruction_loss": self._reconstruction(tensors, z).mean(),
            "kl_divergence": gaussian_kl(mean, log_variance).mean(),
            "mmd": mmd(z, torch.randn_like(z), self.kernel),
        }
        loss = (
            losses["reconstruction_loss"]
            + (1 - self.alpha) * losses["kl_divergence"]
            + (self.alpha + self.lambda_ - 1) * losses["mmd"]
        )
        if "target" in tensors:
            divergence = clustering_divergence(tensors["target"], student_t(mean, self.centers))
            losses["clustering_loss"] = divergence.mean()
            loss = loss + self.gamma * losses["clustering_loss"]
        return {"loss": loss, **losses}

    def _reconstruction(self, tensors: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """Return the negative log-likelihood of each cell given its embedding, shape (n,)."""
        decoded = self.decoder(z)
        if self.likelihood == "gaussian":
            return gaussian_nll(self.normalized(tensors), decoded, self.log_gene_scale.clamp(*LOG_VARIANCE_RANGE))
        x, size_factor = self.inputs(tensors)
        return decoded_zinb_nll(x, decoded, size_factor / self.normalize.median, self.log_gene_scale)


class TwoPhasePlan(EpochPlan):
    """A first phase without, a second with a clustering loss; one training run.

    Parameters
    ----------
    module
        Its loss is minimised.
    lr
        Learning rate of the first phase.
    clustering_lr
        Learning rate of the second phase.
    clustering_fraction
        Part of the epochs that the second phase takes; there is none for a module without a number of clusters.
    refresh_interval
        Epochs after which the target of the second phase is renewed. The phase does not end early, as in the article.
    **kwargs
        Of :class:`EpochPlan`.
    """

    module: InfoVAEModule

    def __init__(
        self,
        module: InfoVAEModule,
        *,
        lr: LearningRate,
        clustering_lr: LearningRate,
        clustering_fraction: Share,
        refresh_interval: Count,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, lr=lr, **kwargs)
        self.clustering_lr = clustering_lr
        self.clustering_fraction = clustering_fraction if module.n_clusters is not None else 0.0
        self.refresh_interval = refresh_interval

    @property
    def clustering_epoch(self) -> int:
        """First epoch of the second phase; the number of epochs where there is none."""
        return self.trainer.max_epochs - int(self.clustering_fraction * self.trainer.max_epochs)

    def phases(self) -> dict[str, tuple[int, float]]:
        """Return the first epoch and the learning rate of each phase."""
        return {"autoencoder": (0, self.lr), "clustering": (self.clustering_epoch, self.clustering_lr)}


class ClusteringPhase(RowTargets):
    """Second phase of a :class:`TwoPhasePlan`: from centres by KMeans on, a target for every cell, renewed at intervals.

    Parameters
    ----------
    model
        Model in training.
    """

    def __init__(self, model: "InfoVAE") -> None:
        super().__init__()
        self.model = model

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the first centres when the phase begins, and forget the optimiser's momenta of the first."""
        if trainer.current_epoch == pl_module.clustering_epoch:
            embedding = self.model.embed_while_training()
            module = self.model.module
            seed = int(torch.randint(2**31 - 1, ()))  # from the generator that all else in training draws from
            labels = fit_partition(embedding.cpu().numpy(), module.n_clusters, "kmeans", seed).labels
            for k in np.unique(labels):
                module.centers.data[k] = embedding[torch.from_numpy(labels == k).to(embedding.device)].mean(dim=0)
            pl_module.optimizers().state.clear()
            self._renew_target(embedding)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Renew the target when it is due."""
        trained = trainer.current_epoch + 1 - pl_module.clustering_epoch
        if trained > 0 and trained % pl_module.refresh_interval == 0 and trainer.current_epoch + 1 < trainer.max_epochs:
            self._renew_target(self.model.embed_while_training())

    def _renew_target(self, embedding: Tensor) -> None:
        """Set the target from the current assignment of all cells."""
        self.target = sharpened_target(student_t(embedding, self.model.module.centers))


class InfoVAE(DeepClusteringModel):
    """Embedding by a variational autoencoder that keeps the mutual information with the data :cite:p:`Pan2023`.

    Parameters
    ----------
    adata
        AnnData set up with :meth:`setup_anndata`.
    registry
        Given by scvi-tools where the data come from a data module instead of an AnnData.
    recipe
        ``"default"`` or ``"paper"``.
    **module_kwargs
        Arguments of the module: ``n_hidden``, ``n_latent``, ``n_clusters``, ``likelihood``, ``dispersion``, ``alpha``, ``lambda_``,
        ``gamma``, ``kernel``, ``batch_norm``, ``noise``, ``max_value``.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.model.InfoVAE.setup_anndata(adata)
    >>> model = scx.model.InfoVAE(adata, n_clusters=8)
    >>> model.train()
    >>> adata.obsm["X_infovae"] = model.get_latent_representation()
    """

    _module_cls = InfoVAEModule
    _training_plan_cls = TwoPhasePlan
    _data_splitter_cls = RowSplitter
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module={
                "n_hidden": (128,),
                "n_latent": 10,
                "n_clusters": None,
                "likelihood": "zinb",
                "dispersion": "gene",
                "alpha": 0.5,
                "lambda_": 1.0,
                "gamma": 10.0,
                "kernel": "imq",
                "batch_norm": True,
                "noise": 0.0,
                "max_value": 10.0,
            },
            train={
                "max_epochs": 40,
                "min_steps": 600,
                "batch_size": 256,
                "plan_kwargs": {
                    "lr": 3e-3,
                    "schedule": "cosine",
                    "clustering_lr": 3e-4,
                    "clustering_fraction": 0.25,
                    "refresh_interval": 1,
                },
                "settle_batch_norm": False,
            },
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=0.01,
            use_flagged_genes=False,
            module={
                "n_hidden": (500, 256, 256),
                "n_latent": 10,
                "n_clusters": None,
                "likelihood": "zinb",
                "dispersion": "gene-cell",
                "alpha": 1.0,
                "lambda_": 100.0,
                "gamma": 1.0,
                "kernel": "imq",
                "batch_norm": False,
                "noise": 0.0,
                "max_value": None,
            },
            train={
                "max_epochs": 1100,
                "min_steps": 0,
                "batch_size": 256,
                "plan_kwargs": {
                    "lr": 1e-3,
                    "schedule": "constant",
                    "clustering_lr": 1e-4,
                    "clustering_fraction": 500 / 1100,
                    "refresh_interval": 1,
                },
                "settle_batch_norm": False,
            },
        ),
    }

    @typed
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray | None = None,
        batch_size: int | None = None,
        *,
        give_mean: bool = True,
    ) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        adata
            AnnData with the fields of the one the model was set up with; None for that one.
        indices
            Cells to embed, in this order; None for all.
        batch_size
            Cells per batch; does not change the means.
        give_mean
            The mean of each cell's posterior q(z | x); False draws from it.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        return self._of_cells(self.module.embed if give_mean else self.module.draw, adata, indices, batch_size)

    @typed
    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray | None = None,
        batch_size: int | None = None,
    ) -> float:
        """Return the evidence lower bound, the mean over cells of :math:`ln p(x | z) - KL(q(z | x) ‖ p(z))` for one draw of z.

        It is higher for better models, whatever α, λ and γ they were trained with.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_latent_representation`.
        """
        return float(self._of_cells(self.module.elbo, adata, indices, batch_size).mean())

    @typed
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return the expression that the decoder expects at the mean of each cell's posterior.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_latent_representation`.

        Returns
        -------
        Cells × genes. With counts: for a cell with the median size factor, and without dropouts.
        """
        adata = self._data(adata)
        expression = self._of_cells(self.module.expression, adata, indices, batch_size)
        names = adata.obs_names if indices is None else adata.obs_names[np.asarray(indices)]
        return pd.DataFrame(expression, index=names, columns=self._genes())

    def _callbacks(self) -> list[Callback]:
        return [] if self.module.n_clusters is None else [ClusteringPhase(self)]
