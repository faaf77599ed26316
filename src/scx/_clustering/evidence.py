"""How well clusters fit the counts and one another, without reference labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.arrays import Labels

N_GENES = 1_000
"""Most variable genes whose counts are the evidence."""
PSEUDOCELLS = 1.0
"""Cells of the mean profile that are added to each cluster before its rates are estimated."""


@dataclass(frozen=True)
class Evidence:
    """Scores of several labellings of the same cells, each of shape (n_labellings,).

    Parameters
    ----------
    deviance_explained
        See :func:`deviance_explained`.
    agreement
        Mean adjusted Rand index with the others; NaN for a single labelling.
    score
        Mean adjusted Rand index with all labellings, itself included, each weighted by its rank in
        deviance explained: 1 for the worst; ties share their mean rank. NaN for a single labelling.
    """

    deviance_explained: NDArray[np.float64]
    agreement: NDArray[np.float64]
    score: NDArray[np.float64]


def evidence(counts: sparse.csr_matrix, size_factors: NDArray[np.floating], labellings: Sequence[Labels]) -> Evidence:
    """Score labellings by the counts and by their agreement, see :class:`Evidence`.

    A labelling that fits the counts better than the others may follow depth or batches; one on
    which the others agree may share their errors. The score asks for agreement with labellings that
    fit the counts.

    Parameters
    ----------
    counts
        Counts of variable genes, cells × genes, finite and not negative.
    size_factors
        Size factor of each cell, positive, shape (n_cells,).
    labellings
        Cluster of each cell, codes from 0, each of shape (n_cells,).
    """
    from scipy.stats import rankdata

    explained = deviance_explained(counts, size_factors, labellings)
    n = len(labellings)
    if n == 1:
        return Evidence(explained, np.full(1, np.nan), np.full(1, np.nan))
    index = pairwise_agreement(labellings)
    rank = rankdata(explained)
    return Evidence(explained, (index.sum(axis=1) - 1) / (n - 1), index @ rank / rank.sum())


def deviance_explained(
    counts: sparse.csr_matrix, size_factors: NDArray[np.floating], labellings: Sequence[Labels]
) -> NDArray[np.float64]:
    r"""Return the share of the Poisson deviance of the counts that each labelling explains.

    The count of gene g in cell i of cluster c has mean :math:`s_i \lambda_{cg}`, with the size
    factor s and the rate :math:`\lambda_{cg} = \sum_{i \in c} x_{ig} / \sum_{i \in c} s_i`, its
    maximum likelihood estimate. The share is

    .. math::

        \frac{\sum_c \sum_g X_{cg} \log(\lambda_{cg} / \lambda_g)}
             {\sum_i \sum_g x_{ig} \log(x_{ig} / (s_i \lambda_g))}

    with :math:`X_{cg} = \sum_{i \in c} x_{ig}` and the rate :math:`\lambda_g` of a single cluster:
    the gain in log-likelihood over a single cluster, relative to the gain of a model with one mean
    for every count. It is 0 for one cluster and 1 for a perfect fit. Only sums by cluster and gene
    are needed, so the cost is one pass over the counts for each labelling.
    """
    factors = np.asarray(size_factors, dtype=np.float64)
    total = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()
    rate = total / factors.sum()
    saturated = _x_log_ratio(counts.data, np.repeat(factors, np.diff(counts.indptr)) * rate[counts.indices]).sum()
    gains = []
    for labels in labellings:
        by_cluster, sizes = _sums(counts, factors, labels, int(labels.max()) + 1)
        gains.append(_x_log_ratio(by_cluster, sizes[:, None] * rate).sum())
    return np.array(gains) / saturated if saturated > 0 else np.zeros(len(gains))


def log_likelihood(
    counts: sparse.csr_matrix, size_factors: NDArray[np.floating], labellings: Sequence[Labels]
) -> NDArray[np.float64]:
    """Return the mean log-likelihood of a cell in nats, under the model of the deviance explained.

    Parameters
    ----------
    counts, size_factors, labellings
        As in :func:`evidence`.
    """
    from scipy.special import gammaln

    factors = np.asarray(size_factors, dtype=np.float64)
    rate = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel() / factors.sum()
    x = counts.data.astype(np.float64)
    # One rate per gene for all cells; its means add up to the counts, as they do for each cluster.
    means = np.repeat(factors, np.diff(counts.indptr)) * rate[counts.indices]
    single = float((x * np.log(means) - x - gammaln(x + 1)).sum())
    gain = float(_x_log_ratio(x, means).sum())
    n_cells: int = counts.shape[0]
    return (single + gain * deviance_explained(counts, factors, labellings)) / n_cells


def reassigned(
    counts: sparse.csr_matrix, size_factors: NDArray[np.floating], labellings: Sequence[Labels], seed: int
) -> NDArray[np.float64]:
    """Return the share of cells that the profiles of other cells give the same cluster.

    The cells are divided at random into halves. The rates of each cluster are estimated on one
    half, with one pseudo-cell of the mean profile; each cell of the other half gets the cluster
    with the highest Poisson likelihood of its counts, among those with cells in the first half.

    Parameters
    ----------
    counts, size_factors, labellings
        As in :func:`evidence`.
    seed
        Seed of the halves.
    """
    factors = np.asarray(size_factors, dtype=np.float64)
    halves = np.array_split(np.random.default_rng(seed).permutation(len(factors)), 2)
    pairs = [(counts[a], factors[a], a, counts[b], factors[b], b) for a, b in (halves, halves[::-1])]
    shares = []
    for labels in labellings:
        n_same = 0
        for known, known_factors, a, new, new_factors, b in pairs:
            by_cluster, sizes = _sums(known, known_factors, labels[a], int(labels.max()) + 1)
            added = PSEUDOCELLS * np.median(factors)
            mean_rate = (np.asarray(known.sum(axis=0)).ravel() + 0.5) / known_factors.sum()
            rates = (by_cluster + added * mean_rate) / (sizes + added)[:, None]
            score = new @ np.log(rates).T - new_factors[:, None] * rates.sum(axis=1)
            score[:, sizes == 0] = -np.inf  # no cell of the cluster is known: its rates are those of the mean
            n_same += int((score.argmax(axis=1) == labels[b]).sum())
        shares.append(n_same / len(factors))
    return np.array(shares)


def pairwise_agreement(labellings: Sequence[Labels]) -> NDArray[np.float64]:
    """Return the adjusted Rand index :cite:p:`Hubert1985` of all pairs, labellings × labellings."""
    from sklearn.metrics import adjusted_rand_score

    index = np.eye(len(labellings))
    for i, j in combinations(range(len(labellings)), 2):
        index[i, j] = index[j, i] = adjusted_rand_score(labellings[i], labellings[j])
    return index


def _sums(
    counts: sparse.csr_matrix, factors: NDArray[np.float64], labels: Labels, n_clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of counts, clusters × genes, and of size factors, by cluster."""
    cells = np.arange(len(labels))
    # as wide as the sums must be: float32 would round them
    indicator = sparse.csr_array((np.ones(len(labels)), (labels, cells)), shape=(n_clusters, len(labels)))
    return np.asarray((indicator @ counts).todense()), indicator @ factors


def _x_log_ratio(x: NDArray[np.floating], mean: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return x log(x / mean), which is 0 for x = 0."""
    from scipy.special import xlogy

    values: NDArray[np.float64] = xlogy(x, np.divide(x, mean, out=np.ones(mean.shape), where=x > 0))
    return values
