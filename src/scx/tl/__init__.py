"""Methods, which train on an AnnData and write embeddings and clusters, and clustering of embeddings that are there."""

from ._cicl import cicl
from ._cluster import cluster
from ._consensus import consensus
from ._contrastive import contrastive
from ._infovae import infovae
from ._semiaae import semiaae

__all__ = ["cicl", "cluster", "consensus", "contrastive", "infovae", "semiaae"]
