"""Scores of embeddings and clusterings."""

from scx.metrics._clustering_report import clustering_report
from scx.metrics._count_evidence import count_evidence
from scx.metrics._knn_preservation import knn_preservation
from scx.metrics._stability import stability

__all__ = ["clustering_report", "count_evidence", "knn_preservation", "stability"]
