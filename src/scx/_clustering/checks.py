"""Warnings about clusters that are not as many as requested, or separate nothing."""

import warnings
from dataclasses import replace

import numpy as np

from scx._clustering.types import Partition

CHANCE = 1.05
"""Clusters separate nothing if the mean confidence is less than so many times that of as many clusters by chance."""


def check_partition(partition: Partition, asked: int | None) -> Partition:
    """Return the clusters with their number as it was found and as it was `asked` for; warn if these differ, or nothing is told apart."""
    found = len(np.unique(partition.labels))
    number = dict(partition.info["n_clusters"])
    if number["chosen"] != found:
        number |= {"chosen": found, "reason": f"{number['reason']}; {found} found"}
    if asked is not None:
        number["asked"] = int(asked)
        if found != asked:
            warnings.warn(
                f"There are {found} clusters, not the {asked} that `n_clusters` asks for ({number['reason']}).",
                UserWarning,
                stacklevel=5,
            )
    at_random = (
        partition.prediction is None
        and partition.confidence is not None
        and partition.confidence.mean() < CHANCE / found
    )
    if found == 1 or at_random:
        warnings.warn(
            "The clusters separate nothing: "
            + (
                "all cells are in one. "
                if found == 1
                else "cells are as near to the means of other clusters as to their own. "
            )
            + "Look at the embedding, and at the history of the training if there was one, before you use them.",
            UserWarning,
            stacklevel=5,
        )
    return replace(partition, info={**partition.info, "n_clusters": number})
