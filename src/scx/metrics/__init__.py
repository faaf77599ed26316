"""How good an embedding or a clustering is."""

from ._knn_preservation import knn_preservation

__all__ = ["knn_preservation"]
