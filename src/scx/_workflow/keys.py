"""All names under which scx writes to an AnnData. No other module builds such a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

type Field = tuple[str, str]
"""Attribute of an AnnData, such as ``"obs"``, and a name within it."""

PLACES = ("obs", "obsm", "layers")
"""Where results are written, beside ``uns``."""
SIZE_FACTOR = "_scx_size_factor"
"""Column of the working AnnData's ``obs`` with the total counts of each cell over all genes."""
LABELS = "_scx_labels"
"""Column of the working AnnData's ``obs`` with the known type of each labelled cell."""


@dataclass(frozen=True)
class Keys:
    """The names that a call with this ``key_added`` writes."""

    key_added: str

    @property
    def clusters(self) -> str:
        """Column of ``obs``: cluster of each cell."""
        return self.key_added

    @property
    def confidence(self) -> str:
        """Column of ``obs``: confidence of each cell's cluster."""
        return f"{self.key_added}_confidence"

    @property
    def agreement(self) -> str:
        """Column of ``obs``: how well the clusterings behind a consensus agree on each cell."""
        return f"{self.key_added}_agreement"

    @property
    def outlier(self) -> str:
        """Column of ``obs``: p-value of a new cell for being like the cells of training."""
        return f"{self.key_added}_outlier"

    @property
    def outlier_score(self) -> str:
        """Column of ``obs``: how unlike the cells of training a new cell is."""
        return f"{self.key_added}_outlier_score"

    @property
    def closest(self) -> str:
        """Column of ``obs``: closest cluster of a new cell, unlike its cells or not."""
        return f"{self.key_added}_closest"

    @property
    def group(self) -> str:
        """Column of ``obs``: group of each cell whose attributions are computed."""
        return f"{self.key_added}_group"

    @property
    def attributions(self) -> str:
        """Layer: attribution of each gene to the group of each cell."""
        return self.key_added

    @property
    def embedding(self) -> str:
        """Array of ``obsm``: embedding of each cell."""
        return f"X_{self.key_added}"

    @property
    def snapshot_embeddings(self) -> str:
        """Array of ``obsm``: embedding of each cell after epochs, cells × epochs × dimensions."""
        return f"X_{self.key_added}_snapshots"

    @property
    def snapshot_clusters(self) -> str:
        """Array of ``obsm``: cluster of each cell after epochs, cells × epochs."""
        return f"{self.key_added}_snapshots"

    @property
    def prediction(self) -> str:
        """Column of ``obs``: most likely known type of each cell."""
        return f"{self.key_added}_prediction"

    @property
    def proba(self) -> str:
        """Array of ``obsm``: probability of each known type."""
        return f"{self.key_added}_proba"

    @property
    def uns(self) -> str:
        """Entry of ``uns``: the run record."""
        return self.key_added

    def written(
        self,
        *,
        confidence: bool = False,
        agreement: bool = False,
        prediction: bool = False,
        outliers: bool = False,
        embedding: bool = False,
        snapshots: bool = False,
    ) -> tuple[Field, ...]:
        """Return the fields that a call writes: clusters, those that are True, the run record."""
        fields = {
            ("obs", self.clusters): True,
            ("obs", self.confidence): confidence,
            ("obs", self.agreement): agreement,
            ("obs", self.prediction): prediction,
            ("obs", self.outlier): outliers,
            ("obs", self.outlier_score): outliers,
            ("obs", self.closest): outliers,
            ("obsm", self.proba): prediction,
            ("obsm", self.embedding): embedding,
            ("obsm", self.snapshot_embeddings): snapshots,
            ("obsm", self.snapshot_clusters): snapshots,
            ("uns", self.uns): True,
        }
        return tuple(field for field, is_written in fields.items() if is_written)

    def written_by_attributions(self, *, per_cell: bool) -> tuple[Field, ...]:
        """Return the fields that :func:`scx.tl.attributions` writes."""
        layer = [("layers", self.attributions)] if per_cell else []
        return (("obs", self.group), *layer, ("uns", self.uns))

    @property
    def everything(self) -> tuple[Field, ...]:
        """All fields that a call may write."""
        return self.written(
            confidence=True, agreement=True, prediction=True, outliers=True, embedding=True, snapshots=True
        )

    def recorded(self, uns: Mapping[str, Any]) -> set[Field]:
        """Return the fields that an earlier call of scx wrote, as its record in ``uns`` lists."""
        record = uns.get(self.uns)
        if not isinstance(record, Mapping) or "scx_version" not in record:
            return set()
        listed = record.get("fields", {})
        return {("uns", self.uns), *((where, str(name)) for where in PLACES for name in listed.get(where, ()))}
