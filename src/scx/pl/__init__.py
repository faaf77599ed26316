"""Plots of what the methods write, in the manner of ``scanpy.pl``."""

from scx.pl._benchmark import benchmark
from scx.pl._clustering_over_training import clustering_over_training
from scx.pl._composition import composition
from scx.pl._confidence import confidence
from scx.pl._confusion import confusion
from scx.pl._count_evidence import count_evidence
from scx.pl._embedding import embedding
from scx.pl._flow import flow
from scx.pl._history import history
from scx.pl._knn_preservation import knn_preservation
from scx.pl._layouts import layouts
from scx.pl._n_clusters import n_clusters
from scx.pl._reliability import reliability

__all__ = [
    "benchmark",
    "clustering_over_training",
    "composition",
    "confidence",
    "confusion",
    "count_evidence",
    "embedding",
    "flow",
    "history",
    "knn_preservation",
    "layouts",
    "n_clusters",
    "reliability",
]
