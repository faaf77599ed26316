"""Plots of what the methods write, in the manner of ``scanpy.pl``."""

from ._benchmark import benchmark
from ._clustering_over_training import clustering_over_training
from ._confidence import confidence
from ._confusion import confusion
from ._embedding import embedding
from ._flow import flow
from ._history import history
from ._knn_preservation import knn_preservation
from ._layouts import layouts
from ._n_clusters import n_clusters
from ._reliability import reliability

__all__ = [
    "benchmark",
    "clustering_over_training",
    "confidence",
    "confusion",
    "embedding",
    "flow",
    "history",
    "knn_preservation",
    "layouts",
    "n_clusters",
    "reliability",
]
