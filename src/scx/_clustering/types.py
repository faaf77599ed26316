"""A partition of cells into clusters, its rule for new points, and predictions of known types."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Labels, Points
from scx._clustering.confidence import Chance, ConfidenceModel, StudentT
from scx._clustering.rules import Mixture, NearestCenter, NeighborVote, Rule


@dataclass(frozen=True)
class Prediction:
    """Known types predicted for all cells by a model that was given the types of some.

    Parameters
    ----------
    types
        Names of the known types.
    proba
        Probability of each, shape (n_cells, n_types).
    info
        For ``uns``: how the probabilities were calibrated.
    """

    types: tuple[str, ...]
    proba: NDArray[np.float32]
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """How new points get a label and a confidence. It holds plain arrays and numbers only.

    Parameters
    ----------
    rule
        Gives each point one of its clusters, which it numbers in its own way.
    confidence
        Confidence of each cluster of the rule at any point.
    label_of
        Label of each cluster of the rule, shape (n_rule_clusters,). Several clusters of the rule
        have one label where clusters were joined.
    further_names
        Names of clusters that only new points can get; their labels follow those of the partition.
    """

    rule: Rule
    confidence: ConfidenceModel
    label_of: Labels
    further_names: tuple[str, ...] = ()

    def assign(self, points: Points) -> tuple[Labels, NDArray[np.float32]]:
        """Assign points of the space that the clusters were found in, shape (n_points, n_dims).

        Return the label of each point, shape (n_points,), and the confidence of that label in
        [0, 1], shape (n_points,).
        """
        clusters = self.rule.assign(points)
        return self.label_of[clusters], self.confidence.posterior(points, clusters)


@dataclass(frozen=True)
class Clusters:
    """What is left of a partition without its cells: it is saved, and takes new cells.

    Parameters
    ----------
    names
        Name of each cluster.
    assignment
        How new points get one of them.
    """

    names: tuple[str, ...]
    assignment: Assignment


STORED = (Clusters, Assignment, NearestCenter, Mixture, NeighborVote, StudentT, Chance)
"""Classes whose instances are saved, see :func:`scx._pack.pack`."""


@dataclass(frozen=True)
class Partition:
    """Cells divided into clusters.

    Parameters
    ----------
    labels
        Cluster of each cell, shape (n_cells,). Without names, 0 is the largest.
    names
        Name of each cluster; None if their numbers are their names.
    confidence
        Confidence of the cluster of each cell in [0, 1], see
        :func:`scx._clustering.confidence.posterior`, or of its predicted type if there is a
        prediction, shape (n_cells,); None without an embedding.
    prediction
        Predicted known types; None if no types are known.
    agreement
        Agreement of several partitions on each cell, see
        :func:`scx._clustering.consensus.agreement`; None for a single one.
    info
        For ``uns``: ``n_clusters`` (``chosen``, ``reason``, and the curves behind the choice),
        ``cluster`` (the algorithm), and whatever else describes the run.
    assignment
        How new points are assigned; None if the clusters do not follow from an embedding alone.
    """

    labels: Labels
    names: tuple[str, ...] | None = None
    confidence: NDArray[np.float32] | None = None
    prediction: Prediction | None = None
    agreement: NDArray[np.float32] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    assignment: Assignment | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters. New cells need not be in all of them."""
        return int(self.labels.max()) + 1 if self.names is None else len(self.names)

    @property
    def clusters(self) -> Clusters | None:
        """The clusters, for new cells; None if there is no rule for these."""
        names = self.names or tuple(str(label) for label in range(self.n_clusters))
        if self.assignment is None:
            return None
        return Clusters((*names, *self.assignment.further_names), self.assignment)

    def renumbered(self, new_label: Labels) -> Self:
        """Return the partition with label `new_label[i]` for cluster i; equal labels are joined."""
        assignment = self.assignment
        if assignment is not None:
            assignment = replace(assignment, label_of=new_label[assignment.label_of])
        return replace(self, labels=new_label[self.labels], assignment=assignment)
