"""Methods, which train on an AnnData and write embeddings and clusters, and clustering of embeddings that are there."""

from ._cluster import cluster
from ._consensus import consensus
from ._contrastive import contrastive

__all__ = ["cluster", "consensus", "contrastive"]
