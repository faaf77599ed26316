"""Numbers and names of clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scx._clustering.arrays import Labels
from scx._clustering.types import Partition


def ordered_by_size(labels: NDArray[np.integer[Any]]) -> Labels:
    """Renumber clusters from the largest to the smallest; equal sizes go by their first cell."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]


def named_after(partition: Partition, voters: Labels, names: Sequence[str], *, join: bool) -> Partition:
    """Name clusters by the vote of their cells.

    Parameters
    ----------
    partition
        Clusters without names, none of them empty.
    voters
        Index in `names` that each cell votes for, shape (n_cells,); negative for no vote.
    names
        In the order in which to number the clusters. Clusters without a vote follow as ``new_1``,
        ``new_2``, ….
    join
        Join clusters with the same name into one. If False, they are numbered, the largest first:
        ``B cell (1)``, ``B cell (2)``.
    """
    all_names = [*names, *new_names(partition.n_clusters, names)]
    name_of = np.empty(partition.n_clusters, dtype=np.int64)
    n_new = 0
    for label in range(partition.n_clusters):
        votes = voters[(partition.labels == label) & (voters >= 0)]
        name_of[label] = np.bincount(votes).argmax() if len(votes) else len(names) + n_new
        n_new += not len(votes)
    if not join:
        order = np.argsort(name_of, kind="stable")  # clusters with the same name stay in the order of their size
        renumbered = partition.renumbered(np.argsort(order))
        return replace(renumbered, names=_all_different([all_names[i] for i in name_of[order]]))
    present, new_label = np.unique(name_of, return_inverse=True)
    info = dict(partition.info)
    if len(present) < partition.n_clusters:
        number = info["n_clusters"]
        reason = f"{number['reason']}; {len(present)} after those of one name were joined"
        info["n_clusters"] = {**number, "chosen": len(present), "reason": reason}
    return replace(partition.renumbered(new_label), names=tuple(all_names[i] for i in present), info=info)


def new_names(n: int, taken: Sequence[str]) -> list[str]:
    """Return `n` names of new types, ``new_1``, ``new_2``, …, that are not taken."""
    return list(islice(_numbered("new_", "", taken), n))


def _all_different(names: Sequence[str]) -> tuple[str, ...]:
    """Append a number to each name that occurs more than once."""
    numbered = {name: _numbered(f"{name} (", ")", names) for name in set(names)}
    return tuple(next(numbered[name]) if names.count(name) > 1 else name for name in names)


def _numbered(before: str, after: str, taken: Sequence[str]) -> Iterator[str]:
    """Yield names with 1, 2, … between `before` and `after`, without those that are taken."""
    return (name for i in count(1) if (name := f"{before}{i}{after}") not in taken)
