"""Methods, which train on an AnnData and write embeddings and clusters, and clustering of embeddings that are there."""

from scx.tl._cicl import cicl
from scx.tl._cluster import cluster
from scx.tl._consensus import consensus
from scx.tl._contrastive import contrastive
from scx.tl._infovae import infovae
from scx.tl._semiaae import semiaae

__all__ = ["cicl", "cluster", "consensus", "contrastive", "infovae", "semiaae"]
