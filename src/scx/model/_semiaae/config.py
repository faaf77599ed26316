"""Configurations of scSemiAAE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from scx._config import Count, LearningRate, Noise, Range, Rate, Share, Weight, Width
from scx.model._core.recipe import ModuleConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class SemiAAEConfig(ModuleConfig):
    """Networks and losses."""

    n_hidden: Sequence[Width]
    """Widths of the hidden layers of the encoder."""
    n_latent: Width
    """Dimensions of the embedding."""
    n_decoder: Sequence[Width]
    """Widths of the hidden layers of the decoder."""
    n_discriminator: Sequence[Width]
    """Widths of the hidden layers of the discriminator."""
    dispersion: Literal["gene", "gene-cell"]
    """Dispersion of counts: one per ``"gene"``, or ``"gene-cell"``, from the decoder."""
    batch_norm: bool
    """Whether hidden layers of encoder and decoder have batch normalisation."""
    noise: Noise
    """Standard deviation of the noise on the input in training."""
    input_dropout: Rate
    """Probability of dropping a gene of the input in training."""
    dropout: Rate
    """Probability of dropping a unit of a hidden layer of encoder or decoder in training."""
    reconstruction_weight: Weight
    """Weight of the negative log-likelihood per gene."""
    classification_weight: Weight
    """Weight of the cross-entropy of the known types."""
    adversarial_weight: Weight
    """Weight of the generator's loss."""
    guided: bool
    """Whether types are estimated for all cells before training and learned from these estimates,
    see :func:`scx.model._semiaae.guidance.guide`. False learns from the given labels only."""


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(TrainingConfig):
    """Schedule of both phases."""

    n_labeled: Annotated[int, Range(0, 100_000)]
    """Labelled cells that are added to each batch; more if an epoch could not show every type."""
    training_lr: LearningRate
    """Learning rate of the second phase; `lr` is that of the first."""
    optimizer: Literal["adam", "adadelta"]
    """Optimiser of the second phase; the first uses Adam."""
    pretraining_fraction: Share
    """Share of the epochs in the first phase."""
    discriminator_lr: LearningRate
    """Learning rate of the discriminator, by Adam."""
    discriminator_interval: Count
    """Steps after which the discriminator takes one step."""
