"""How good an embedding or a clustering is."""

from ._clustering_report import clustering_report
from ._knn_preservation import knn_preservation
from ._stability import stability

__all__ = ["clustering_report", "knn_preservation", "stability"]
