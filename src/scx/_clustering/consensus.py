"""One labelling out of several."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.algorithms import N_STARTS
from scx._clustering.n_clusters import fixed_n_clusters
from scx._clustering.naming import ordered_by_size
from scx._clustering.types import Partition
from scx._rng import exclusively

MAX_ROUNDS = 100
"""Rounds of votes after which a consensus is taken as it is."""


@exclusively
def consensus(labellings: Sequence[NDArray[np.int64]], n_clusters: int | None, seed: int) -> Partition:
    r"""Cluster cells by how often several labellings put them together, without the cells × cells matrix of it.

    With the cells × clusters indicator H of all clusters of all R labellings, :math:`H H^T / R` is the co-association of two
    cells, and :math:`2 R` times what it lacks to 1 their squared distance as rows of H. KMeans clusters those rows, each
    distinct one once, weighted by its cells, so that the cost hardly depends on how many cells there are. Then the labellings
    vote on each cell until nothing changes, see :func:`_settle`: KMeans would rather divide a large cluster on which few differ
    than keep two small ones apart on which all agree.

    Parameters
    ----------
    labellings
        Cluster of each cell, each of shape (n_cells,).
    n_clusters
        Number of clusters; None for the median of the labellings'. There are no more than distinct rows, and fewer if votes leave
        one without cells.
    seed
        Seed of KMeans.

    Returns
    -------
    The consensus, with the :func:`agreement` of each cell.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import OneHotEncoder

    codes = [np.unique(labels, return_inverse=True)[1] for labels in labellings]
    if n_clusters is None:
        number = fixed_n_clusters(int(np.median([labels.max() + 1 for labels in codes])), "median over the labellings")
    else:
        number = fixed_n_clusters(n_clusters)
    rows, row_of_cell, n_cells = np.unique(np.column_stack(codes), axis=0, return_inverse=True, return_counts=True)
    indicator = OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(rows)
    kmeans = KMeans(min(number.chosen, len(rows)), n_init=N_STARTS, random_state=seed)
    settled = _settle(kmeans.fit(indicator, sample_weight=n_cells).labels_, rows, n_cells)
    labels = ordered_by_size(settled[row_of_cell.ravel()])
    by_labelling = [agreement(labels, [labelling]).mean() for labelling in codes]
    info = {"n_clusters": number.info, "cluster": "consensus", "agreement": np.array(by_labelling, dtype=np.float64)}
    return Partition(labels, agreement=agreement(labels, codes), info=info)


def _settle(clusters: NDArray, rows: NDArray[np.int64], n_cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move each distinct row to the cluster that most labellings vote for, again and again until none moves.

    The clusters of a labelling stand for those of the consensus with which they share most cells, one to one; any left over,
    because the labelling has more, for the one with which each shares most. A row stays where votes are equal.

    Parameters
    ----------
    clusters
        Cluster of each row, shape (n_rows,).
    rows
        Its cluster in each labelling, shape (n_rows, n_labellings).
    n_cells
        Cells that it stands for, shape (n_rows,).
    """
    from scipy.optimize import linear_sum_assignment

    each = np.arange(len(rows))
    n_clusters = clusters.max() + 1
    for _ in range(MAX_ROUNDS):
        votes = np.zeros((len(rows), n_clusters))
        votes[each, clusters] = 0.5
        for labels in rows.T:
            shared = np.zeros((labels.max() + 1, n_clusters))
            np.add.at(shared, (labels, clusters), n_cells)
            stands_for = shared.argmax(axis=1)
            own, partner = linear_sum_assignment(shared, maximize=True)
            stands_for[own] = partner
            votes[each, stands_for[labels]] += 1
        before, clusters = clusters, votes.argmax(axis=1)
        if np.array_equal(before, clusters):
            break
    return clusters


def agreement(labels: NDArray[np.int64], labellings: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return the share of cells that are put together with a cell and have its label too, mean over labellings, in [0, 1].

    Clusters need no matching, and labellings may differ in their number: a cell in a cluster that lies within its `labels`
    counts 1, one in a cluster of which only a third has its label 1/3. All are codes that begin at 0.
    """
    total = np.zeros(len(labels))
    for codes in labellings:
        joint = sparse.coo_array((np.ones(len(codes)), (codes, labels))).toarray()
        total += (joint / joint.sum(axis=1, keepdims=True))[codes, labels]
    return (total / len(labellings)).astype(np.float32)
