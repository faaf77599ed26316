"""Every name under which scx writes to an AnnData. Nobody else builds a key."""

from dataclasses import dataclass

SIZE_FACTOR = "_scx_size_factor"
"""Column of the working AnnData's ``obs`` with the total counts of each cell over all genes."""
LABELS = "_scx_labels"
"""Column of the working AnnData's ``obs`` with the type of each cell whose type was given."""


@dataclass(frozen=True)
class Keys:
    """The names a call writes, given its ``key_added``."""

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
        """Column of ``obs``: how far the clusterings behind a consensus agree on each cell."""
        return f"{self.key_added}_agreement"

    @property
    def embedding(self) -> str:
        """Array of ``obsm``: embedding of each cell."""
        return f"X_{self.key_added}"

    @property
    def snapshot_embeddings(self) -> str:
        """Array of ``obsm``: embedding of each cell after chosen epochs, cells × epochs × dimensions."""
        return f"X_{self.key_added}_snapshots"

    @property
    def snapshot_clusters(self) -> str:
        """Array of ``obsm``: cluster of each cell after chosen epochs, cells × epochs."""
        return f"{self.key_added}_snapshots"

    @property
    def prediction(self) -> str:
        """Column of ``obs``: known type that each cell is most likely of."""
        return f"{self.key_added}_prediction"

    @property
    def proba(self) -> str:
        """Array of ``obsm``: probability of each known type."""
        return f"{self.key_added}_proba"

    @property
    def uns(self) -> str:
        """Entry of ``uns``: how the result came about."""
        return self.key_added

    @property
    def everything(self) -> tuple[tuple[str, str], ...]:
        """All fields that a call may write: attribute of the AnnData and name within it."""
        return (
            ("obs", self.clusters),
            ("obs", self.confidence),
            ("obs", self.agreement),
            ("obs", self.prediction),
            ("obsm", self.embedding),
            ("obsm", self.proba),
            ("obsm", self.snapshot_embeddings),
            ("obsm", self.snapshot_clusters),
            ("uns", self.uns),
        )
