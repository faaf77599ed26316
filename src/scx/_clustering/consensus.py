"""One partition from several."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.algorithms import N_STARTS
from scx._clustering.arrays import Labels, Points
from scx._clustering.confidence import fit_confidence
from scx._clustering.n_clusters import NClusters, fixed_n_clusters
from scx._clustering.naming import named_after, ordered_by_size
from scx._clustering.rules import NeighborVote
from scx._clustering.types import Assignment, Partition
from scx._rng import exclusively

MAX_ROUNDS = 100
"""Rounds of votes before a consensus is accepted as it is."""
MAX_VOTERS = 50_000
"""Cells kept to vote on new points."""


def consensus_of_runs(
    runs: Sequence[Partition], embeddings: Sequence[Points], n_clusters: NClusters, seed: int
) -> tuple[Partition, int]:
    """Return the consensus of training runs, and the index of the run that agrees with it most.

    The confidence of a cell is the mean over runs of the confidence of the consensus in the
    embedding of the run. New points in the embedding of the chosen run are assigned by a vote of
    their nearest cells, with the confidence in that embedding. If types are known, the names of
    clusters, the prediction and its confidence are those of the chosen run.

    Parameters
    ----------
    runs
        Partition of the same cells by each run.
    embeddings
        What each run clustered: the embedding of these cells, each of shape (n_cells, n_dims), with
        the probabilities of known types if there are any.
    n_clusters
        Number of clusters; the median over the runs if it was not given.
    seed
        Seed of :func:`consensus`, and of the cells that vote.
    """
    if len(runs) == 1:
        return runs[0], 0
    given = n_clusters if isinstance(n_clusters, int) else None
    found = consensus([run.labels for run in runs], given, seed)
    chosen = int(np.argmax(found.info["agreement"]))
    run = runs[chosen]
    voters = np.random.default_rng(seed).permutation(len(found.labels))[:MAX_VOTERS]
    vote = NeighborVote(embeddings[chosen][voters], found.labels[voters])
    if run.names is not None:
        assert run.assignment is not None
        found = replace(found, assignment=Assignment(vote, run.assignment.confidence, np.arange(found.n_clusters)))
        named = named_after(found, run.labels, run.names, join=run.info["cluster"] == "types")
        return replace(named, confidence=run.confidence, prediction=run.prediction), chosen
    models = [fit_confidence(embedding, found.labels) for embedding in embeddings]
    by_run = [model.posterior(points, found.labels) for model, points in zip(models, embeddings, strict=True)]
    assignment = Assignment(vote, models[chosen], np.arange(found.n_clusters))
    return replace(found, confidence=np.mean(by_run, axis=0), assignment=assignment), chosen


@exclusively
def consensus(
    labellings: Sequence[Labels], n_clusters: int | None, seed: int, weights: Sequence[float] | None = None
) -> Partition:
    r"""Cluster cells by how often labellings put them together, without a cells × cells matrix.

    Let H be the cells × clusters indicator of all clusters of all R labellings, in which the
    columns of labelling r are multiplied by :math:`\sqrt{w_r}`; the weights w have mean 1. The
    co-association of two cells is their entry of :math:`H H^T / R`, and the squared distance of
    their rows of H is :math:`2 R` times one minus the co-association. KMeans clusters the rows.
    It sees each distinct row once, weighted by its number of cells, so the cost hardly depends on
    the number of cells. Then the labellings vote on each cell until nothing changes, see
    :func:`_settle`: KMeans tends to divide a large cluster on which few labellings differ rather
    than to separate two small clusters on which all agree.

    Parameters
    ----------
    labellings
        Cluster of each cell, each of shape (n_cells,).
    n_clusters
        Number of clusters; None for the median over the labellings. There are fewer if there are
        fewer distinct rows, or if the votes leave a cluster without cells.
    seed
        Seed of KMeans.
    weights
        Positive weight of each labelling; None for equal weights. Only their ratios matter.

    Returns
    -------
    The consensus, with the :func:`agreement` on each cell. It assigns no new points.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import OneHotEncoder

    codes = [np.unique(labels, return_inverse=True)[1] for labels in labellings]
    shares = np.ones(len(codes)) if weights is None else np.array(weights) / np.mean(weights)
    if n_clusters is None:
        number = fixed_n_clusters(int(np.median([labels.max() + 1 for labels in codes])), "median over the labellings")
    else:
        number = fixed_n_clusters(n_clusters)
    rows, row_of_cell, n_cells = np.unique(np.column_stack(codes), axis=0, return_inverse=True, return_counts=True)
    indicator = OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(rows)
    indicator *= np.sqrt(np.repeat(shares, [labels.max() + 1 for labels in codes])).astype(np.float32)
    kmeans = KMeans(min(number.chosen, len(rows)), n_init=N_STARTS, random_state=seed)
    settled = _settle(kmeans.fit(indicator, sample_weight=n_cells).labels_, rows, n_cells, shares)
    labels = ordered_by_size(settled[row_of_cell.ravel()])
    by_labelling = [agreement(labels, [labelling]).mean() for labelling in codes]
    info = {"n_clusters": number.info, "cluster": "consensus", "agreement": np.array(by_labelling, dtype=np.float64)}
    return Partition(labels, agreement=agreement(labels, codes, shares), info=info)


def _settle(
    clusters: Labels, rows: NDArray[np.int64], n_cells: NDArray[np.int64], weights: NDArray[np.float64]
) -> Labels:
    """Move each distinct row to the cluster with most votes of the labellings, until no row moves.

    The clusters of a labelling are matched one to one with those of the consensus, so that they
    share as many cells as possible. If the labelling has more clusters, each one left over is
    matched with the cluster with which it shares most cells. A row stays where votes are equal.

    Parameters
    ----------
    clusters
        Cluster of each row, shape (n_rows,).
    rows
        Its cluster in each labelling, shape (n_rows, n_labellings).
    n_cells
        Number of cells with this row, shape (n_rows,).
    weights
        Weight of the vote of each labelling, with mean 1, shape (n_labellings,).
    """
    from scipy.optimize import linear_sum_assignment

    row_numbers = np.arange(len(rows))
    n_clusters = clusters.max() + 1
    for _ in range(MAX_ROUNDS):
        votes = np.zeros((len(rows), n_clusters))
        votes[row_numbers, clusters] = weights.min() / 2
        for labels, weight in zip(rows.T, weights, strict=True):
            shared = np.zeros((labels.max() + 1, n_clusters))
            np.add.at(shared, (labels, clusters), n_cells)
            partner_of = shared.argmax(axis=1)
            matched, partners = linear_sum_assignment(shared, maximize=True)
            partner_of[matched] = partners
            votes[row_numbers, partner_of[labels]] += weight
        before, clusters = clusters, votes.argmax(axis=1)
        if np.array_equal(before, clusters):
            break
    return clusters


def agreement(
    labels: Labels, labellings: Sequence[Labels], weights: Sequence[float] | NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Return how far labellings agree with the label of each cell, in [0, 1], shape (n_cells,).

    For one labelling, this is the share of the cells in the cluster of a cell that have the label
    of the cell: 1 if the whole cluster has this label, 1/3 if a third of it has. The result is the
    mean over labellings, weighted if there are weights. Clusters need no matching, and the number
    of clusters may differ between labellings. All labels are integers from 0.
    """
    total = np.zeros(len(labels))
    shares = np.ones(len(labellings)) if weights is None else np.asarray(weights)
    for codes, share in zip(labellings, shares, strict=True):
        joint = sparse.coo_array((np.ones(len(codes)), (codes, labels))).toarray()
        total += share * (joint / joint.sum(axis=1, keepdims=True))[codes, labels]
    return (total / shares.sum()).astype(np.float32)
