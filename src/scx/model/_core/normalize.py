"""Normalisation of counts as a layer: a trained model takes raw counts of new cells."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from .source import Batch


class LogNormalize(nn.Module):
    """Size factor, log1p, z-score and clipping, with statistics that are saved with the model.

    ``y = clip((log1p(x · m / s) − μ) / σ)`` for counts x of a cell with size factor s; the
    median size factor m and each gene's mean μ and standard deviation σ are those of the cells
    given to :meth:`fit`. On those cells it equals :func:`scanpy.pp.normalize_total`,
    :func:`scanpy.pp.log1p` and :func:`scanpy.pp.scale`, one after the other.

    Parameters
    ----------
    n_genes
        Number of genes.
    max_value
        Values are clipped to [−max_value, max_value]; None does not clip.
    log
        False skips size factor and logarithm, for values that are not counts.
    """

    median: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, n_genes: int, max_value: float | None = None, *, log: bool = True) -> None:
        super().__init__()
        self.log = log
        self.max_value = max_value
        self.register_buffer("median", torch.ones(()))
        self.register_buffer("mean", torch.zeros(n_genes))
        self.register_buffer("std", torch.ones(n_genes))

    def fit(self, size_factors: NDArray[np.float32], batches: Iterable[Batch]) -> None:
        """Learn the statistics in one pass, in float64.

        Parameters
        ----------
        size_factors
            Size factors of all cells, shape (n_cells,).
        batches
            All cells, batch by batch.
        """
        self.median.fill_(float(np.median(size_factors)))
        scaler = StandardScaler()
        for batch in batches:
            scaler.partial_fit(self.log_normalized(batch.x.double(), batch.size_factor.double()).cpu().numpy())
        n_cells = scaler.n_samples_seen_
        std = np.sqrt(scaler.var_ * n_cells / max(n_cells - 1, 1))  # unbiased, as in sc.pp.scale
        self.mean.copy_(torch.from_numpy(scaler.mean_))
        self.std.copy_(torch.from_numpy(np.where(std == 0, 1.0, std)))

    @property
    def average(self) -> NDArray[np.float32]:
        """Values of the average cell, which are normalised to 0, shape (n_genes,).

        They are divided by its size factor, unless values are not counts.
        """
        average = self.mean.expm1() / self.median if self.log else self.mean
        values: NDArray[np.float32] = average.cpu().numpy()
        return values

    @property
    def variance(self) -> NDArray[np.float32]:
        """Variance of each gene before the division, 0 if it has no counts, shape (n_genes,)."""
        variance = torch.where(self.mean != 0, self.std**2, 0)
        values: NDArray[np.float32] = variance.cpu().numpy()
        return values

    def forward(self, x: Tensor, size_factor: Tensor) -> Tensor:
        """Normalise counts `x`, shape (n, n_genes), of cells with size factors of shape (n, 1)."""
        y = self.log_normalized(x, size_factor).sub_(self.mean).div_(self.std)
        return y if self.max_value is None else y.clamp_(-self.max_value, self.max_value)

    def log_normalized(self, x: Tensor, size_factor: Tensor) -> Tensor:
        """Return counts `x` of cells after division by size factors and log1p, shapes as above."""
        if not self.log:
            return x.clone()
        # A cell without counts stays all zero instead of becoming 0/0.
        scale = torch.where(size_factor > 0, self.median.to(x.dtype) / size_factor, 0)
        return (x * scale).log1p_()
