"""Integrated gradients of the log-probability of groups of cells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scx._clustering.confidence import StudentT
from scx._clustering.types import Clusters

from .module import DeepClusteringModule
from .source import CellSource

MAX_VALUES = 2**22
"""Cells × steps × genes whose gradients are in memory at a time."""


@dataclass(frozen=True)
class Groups:
    """Groups of cells, with the probability of each at any point of the embedding."""

    names: tuple[str, ...]
    assign: Callable[[NDArray[np.float32]], NDArray[np.int64]]
    """Returns the group of cells by their embedding, shapes (n_cells,) and (n_cells, n_latent)."""
    log_probabilities: Callable[[Tensor], Tensor]
    """Returns ln of the probability of each group, shape (n, n_groups), at points of the embedding,
    shape (n, n_latent), differentiably."""


@dataclass(frozen=True)
class Survey:
    """What one pass through cells says of their groups."""

    labels: NDArray[np.int64]
    """Group of each cell, shape (n_cells,)."""
    n_cells: NDArray[np.int64]
    """Number of cells in each group, shape (n_groups,)."""
    means: NDArray[np.float64]
    """Mean log-normalised expression of each group, shape (n_groups, n_genes); NaN if it is
    empty."""
    rest_means: NDArray[np.float64]
    """The same for all other cells."""


@dataclass(frozen=True)
class Explained:
    """Attributions of some cells."""

    values: NDArray[np.float32]
    """Shape (n, n_genes)."""
    difference: NDArray[np.float32]
    """ln of the probability of a cell's group minus that at the average cell, shape (n,)."""
    error: NDArray[np.float32]
    """Sum of the attributions of a cell minus its difference, shape (n,)."""


def clusters_as_groups(clusters: Clusters) -> Groups:
    """Return clusters with the probabilities of their confidence.

    Raise ValueError unless it is that of Student-t distributions.
    """
    assignment, confidence = clusters.assignment, clusters.assignment.confidence
    if not isinstance(confidence, StudentT):
        msg = (
            "`model` gives its clusters no probability that depends on the genes: it has a single cluster, or clusters "
            "that nothing separates. Train a model with several clusters."
        )
        raise ValueError(msg)

    parts_of = [np.flatnonzero(assignment.label_of == label) for label in range(len(clusters.names))]

    def log_probabilities(z: Tensor) -> Tensor:
        origin, means = (torch.from_numpy(array).to(z) for array in (confidence.origin, confidence.means))
        # As in StudentT.posterior. Products of matrices would depend on the size of the batch.
        squares = ((z - origin)[:, None] - means).square().sum(dim=2)
        log_posterior = (-2 * torch.log1p(squares / confidence.squared_scale)).log_softmax(dim=1)
        return torch.stack([log_posterior[:, parts].logsumexp(dim=1) for parts in parts_of], dim=1)

    return Groups(clusters.names, lambda embedding: assignment.assign(embedding)[0], log_probabilities)


@torch.no_grad()
def survey(module: DeepClusteringModule, groups: Groups, cells: CellSource) -> Survey:
    """Assign cells to groups, and return the mean expression of these."""
    sums = np.zeros((len(groups.names), cells.n_vars))
    labels = np.empty(cells.n_obs, dtype=np.int64)
    for batch in cells.batches():
        own = groups.assign(module.embed(batch).cpu().numpy())
        labels[batch.rows.numpy()] = own
        sums += np.eye(len(sums))[own].T @ module.log_normalized(batch).cpu().numpy()
    n_cells = np.bincount(labels, minlength=len(groups.names))
    with np.errstate(invalid="ignore"):  # 0 / 0 for an empty group
        means = sums / n_cells[:, None]
        rest_means = (sums.sum(axis=0) - sums) / (cells.n_obs - n_cells)[:, None]
    return Survey(labels, n_cells, means, rest_means)


def explain(
    module: DeepClusteringModule,
    groups: Groups,
    cells: CellSource,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    n_steps: int,
) -> Iterator[tuple[NDArray[np.int64], Explained]]:
    r"""Yield the attributions of cells in batches, with their row numbers.

    They are integrated gradients :cite:p:`Sundararajan2017` of the log-probability of a cell's
    group with respect to normalised expression,
    :math:`x_g \int_0^1 \partial_g \ln p(a x) \, \mathrm{d}a`. Their baseline is 0, the average cell
    of training: normalised expression is centered on it. Division of a gene by its standard
    deviation has no effect on attributions.

    Parameters
    ----------
    module
        Trained.
    groups
        What is explained.
    cells
        Cells to explain, among others.
    rows
        Their row numbers.
    labels
        Group of all cells, shape (n_cells,).
    n_steps
        Number of points at which the integral is evaluated (Gauss–Legendre).
    """
    from captum.attr import IntegratedGradients

    def log_probabilities(x: Tensor) -> Tensor:
        return groups.log_probabilities(module.encode(x))

    method = IntegratedGradients(log_probabilities)
    for batch in cells.batches(rows, max(1, MAX_VALUES // (n_steps * cells.n_vars))):
        x = module.normalized(batch).detach()
        average = torch.zeros_like(x)
        own = torch.from_numpy(labels[batch.rows.numpy()]).to(x.device)
        values = method.attribute(x, average, own, n_steps=n_steps)
        with torch.no_grad():
            difference = (log_probabilities(x) - log_probabilities(average)).gather(1, own[:, None])[:, 0]
        arrays = (values, difference, values.sum(dim=1) - difference)
        yield batch.rows.numpy(), Explained(*(array.detach().cpu().numpy().astype(np.float32) for array in arrays))
