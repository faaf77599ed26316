"""Configurations of ScInfoVAE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from scx._config import Count, LearningRate, Noise, Range, Share, Weight, Width
from scx.model._core.recipe import ModuleConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class InfoVAEConfig(ModuleConfig):
    """Network, likelihood and losses."""

    n_hidden: Sequence[Width]
    """Widths of the hidden layers of the encoder; the decoder has them in reverse."""
    n_latent: Width
    """Dimensions of the embedding."""
    n_clusters: Annotated[int, Range(2)] | None
    """Number of clusters k of the second phase; None for no second phase."""
    likelihood: Literal["zinb", "gaussian"]
    """``"zinb"`` for counts.

    ``"gaussian"`` for other values, which are only centred and scaled gene.
    by gene."""
    dispersion: Literal["gene", "gene-cell"]
    """Dispersion of counts: one per ``"gene"``, or ``"gene-cell"``, from the decoder."""
    alpha: Share
    """α, weight of the mutual information between cells and embedding. The divergence of each
    cell's posterior from the prior weighs 1 − α. 0 is the bound of a plain variational
    autoencoder."""
    lambda_: Weight
    """λ: the divergence of the aggregate posterior from the prior weighs α + λ − 1."""
    gamma: Weight
    """γ, weight of the clustering loss in the second phase."""
    kernel: Literal["imq", "rbf"]
    """Kernel of the maximum mean discrepancy, see :func:`scx.model._core.losses.mmd`."""
    batch_norm: bool
    """Whether hidden layers have batch normalisation."""
    noise: Noise
    """Standard deviation of the noise on the input and the hidden layers of the encoder in
    training."""

    def __post_init__(self) -> None:
        if self.alpha + self.lambda_ < 1:
            msg = (
                f"`alpha + lambda_` must be at least 1, got {self.alpha:g} + {self.lambda_:g}: less drives the "
                "embedding away from the prior."
            )
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class TwoPhaseConfig(TrainingConfig):
    """Schedule of both phases."""

    clustering_lr: LearningRate
    """Learning rate of the second phase."""
    clustering_fraction: Share
    """Share of the epochs in the second phase.

    A module without `n_clusters` has no second phase.
    """
    refresh_interval: Count
    """Epochs after which the target of the second phase is computed again. The phase does not end
    early, as in the article."""
