"""Numbers and names of clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from scx._clustering.types import Partition


def ordered_by_size(labels: NDArray) -> NDArray[np.int64]:
    """Renumber clusters from the largest to the smallest, those of one size by their first cell."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]


def named_after(partition: Partition, voters: NDArray, names: Sequence[str], *, join: bool) -> Partition:
    """Name clusters by the vote of their cells.

    Parameters
    ----------
    partition
        What to name.
    voters
        Name that each cell votes for, as its place in `names`, shape (n_cells,); negative for none.
    names
        In the order in which clusters shall be numbered. Clusters without a vote follow as ``new_1``, ``new_2``, ….
    join
        Whether clusters of one name become one; if not, they are told apart as ``B cell (1)``, ``B cell (2)``, the largest first.
    """
    every = [*names, *new_names(partition.n_clusters, names)]
    name_of = np.empty(partition.n_clusters, dtype=np.int64)
    n_new = 0
    for label in range(partition.n_clusters):
        votes = voters[(partition.labels == label) & (voters >= 0)]
        name_of[label] = np.bincount(votes).argmax() if len(votes) else len(names) + n_new
        n_new += not len(votes)
    info = dict(partition.info)
    if join:
        present, labels = np.unique(name_of[partition.labels], return_inverse=True)
        if len(present) < partition.n_clusters:
            number = info["n_clusters"]
            reason = f"{number['reason']}; {len(present)} after those of one name were joined"
            info["n_clusters"] = {**number, "chosen": len(present), "reason": reason}
        return replace(partition, labels=labels, names=tuple(every[i] for i in present), info=info)
    order = np.argsort(name_of, kind="stable")  # clusters of one name stay in the order of their size
    labels = np.argsort(order)[partition.labels]
    return replace(partition, labels=labels, names=_told_apart([every[i] for i in name_of[order]]))


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, those that occur more than once with numbers, so that all differ."""
    free = {name: _numbered(name, names) for name in set(names)}
    return tuple(next(free[name]) if names.count(name) > 1 else name for name in names)


def _numbered(name: str, taken: Sequence[str]) -> Iterator[str]:
    return (numbered for i in count(1) if (numbered := f"{name} ({i})") not in taken)


def new_names(n: int, taken: Sequence[str]) -> list[str]:
    """Return `n` names of new types, ``new_1``, ``new_2``, …, without those that are taken."""
    every = (f"new_{i}" for i in count(1))
    return list(islice((name for name in every if name not in taken), n))
