"""Warnings: not the requested number of clusters, or clusters that separate nothing."""

from dataclasses import replace

import numpy as np

from scx._checks import warn
from scx._clustering.n_clusters import NClusters
from scx._clustering.types import Partition

CHANCE = 1.05
"""Clusters separate nothing if the mean confidence is below this many times that of chance."""


def check_partition(partition: Partition, requested: NClusters) -> Partition:
    """Return the partition with the numbers of clusters found and requested in its ``info``.

    Warn if the numbers differ, and if the clusters separate nothing.
    """
    n_found = len(np.unique(partition.labels))
    number = dict(partition.info["n_clusters"])
    if number["chosen"] != n_found:
        number |= {"chosen": n_found, "reason": f"{number['reason']}; {n_found} found"}
    if requested is not None:
        number["asked"] = requested
        low, high = (requested, requested) if isinstance(requested, int) else requested
        if not low <= n_found <= high:
            asked = low if low == high else f"{low} to {high}"
            warn(f"There are {n_found} clusters, not the {asked} that `n_clusters` asks for ({number['reason']}).")
    if n_found == 1:
        _warn_nothing_separated("all cells are in one")
    elif (
        partition.prediction is None
        and partition.confidence is not None
        and partition.confidence.mean() < CHANCE / n_found
    ):
        _warn_nothing_separated("cells are as near to the means of other clusters as to their own")
    return replace(partition, info={**partition.info, "n_clusters": number})


def _warn_nothing_separated(why: str) -> None:
    warn(
        f"The clusters separate nothing: {why}. "
        "Look at the embedding, and at the history of the training if there was one, before you use them."
    )
