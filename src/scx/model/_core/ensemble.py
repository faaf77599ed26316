"""The members of an ensemble that embed new cells, and the clusters that it kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx._clustering.components import Components, Expression, Place, alone_or_together, side_by_side
from scx._clustering.reference import Mapped, Reference
from scx._clustering.types import Partition
from scx._rng import exclusively

from .preparation import Preparation
from .source import CellSource

if TYPE_CHECKING:
    from .model import DeepClusteringModel

EXPRESSION = "expression"
"""Name of the cells as principal components read them; no member has it."""


@dataclass(frozen=True)
class Ensemble:
    """What maps new cells to the result of :func:`scx.tl.ensemble`."""

    preparation_: Preparation
    """Genes of the expression, and size factors."""
    expression: Expression
    members: "Mapping[str, Components | DeepClusteringModel]"
    places: Mapping[str, Place]
    """Of the embedding of each member, in embeddings side by side."""
    joint: tuple[str, ...]
    """Members whose embeddings side by side are the result."""
    clustered: tuple[str, ...]
    """Members in whose embeddings side by side the clusters were found; in one alone as it is."""
    reference_: Reference
    """Clusters, in the embedding of `clustered`, and what is unlike the cells, in `joint`."""

    @property
    def models(self) -> "dict[str, DeepClusteringModel]":
        """The trained members by name."""
        return {name: member for name, member in self.members.items() if not isinstance(member, Components)}

    @property
    def gene_variance(self) -> "pd.Series[float]":
        """Variance of log-normalised counts of each gene that a member reads, by its name."""
        own = pd.Series(self.expression.std**2, self.preparation_.genes)
        every = pd.concat([own, *(model.gene_variance for model in self.models.values())])
        return every[~every.index.duplicated()]

    def query(self, adata: AnnData, layer: str | None, gene_key: str | None) -> dict[str, CellSource]:
        """Return new cells as each member reads them, see :meth:`EmbeddingModel.query`."""
        preparation = replace(self.preparation_, layer=layer)
        own = preparation.source(adata, gene_key, average=self.expression.average)
        return {EXPRESSION: own} | {name: model.query(adata, layer, gene_key) for name, model in self.models.items()}

    @exclusively
    def map_cells(self, cells: Mapping[str, CellSource]) -> Mapped:
        """Return embedding and clusters of new cells, and how unlike those of training they are."""
        embedded, projection = self._components_of(cells[EXPRESSION])
        embedded |= {name: model.embed_cells(cells[name]) for name, model in self.models.items()}
        joint = side_by_side(embedded, self.places, self.joint)
        clusters = self.reference_.clusters
        found_in = alone_or_together(embedded, self.places, self.clustered)
        labels, confidence = clusters.assignment.assign(found_in)
        score = self.reference_.outliers.score(joint, projection)
        return Mapped(joint, Partition(labels, clusters.names, confidence), score)

    def _components_of(self, cells: CellSource) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
        """Return the members that are principal components, and the space of outliers."""
        outliers = self.reference_.outliers
        members = {name: member for name, member in self.members.items() if isinstance(member, Components)}
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*members, EXPRESSION)}
        for batch in cells.batches():
            values = self.expression.of(batch.x.numpy(), batch.size_factor.numpy()[:, 0])
            for name, member in members.items():
                found[name].append(member.of(values))
            found[EXPRESSION].append(np.asarray((values - outliers.center) @ outliers.components, dtype=np.float32))
        embedded = {name: np.concatenate(blocks) for name, blocks in found.items()}
        return embedded, embedded.pop(EXPRESSION)
