"""How well clusters fit the counts and one another, without reference labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scx._clustering.arrays import Labels


@dataclass(frozen=True)
class Evidence:
    """Scores of several labellings of the same cells, each of shape (n_labellings,).

    Parameters
    ----------
    deviance_explained
        See :func:`deviance_explained`.
    agreement
        See :func:`mean_agreement`, with equal weights.
    score
        The same, with each labelling weighted by its squared rank in deviance explained; ties share
        their mean rank.
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
    index = pairwise_agreement(labellings)
    return Evidence(explained, mean_agreement(index), mean_agreement(index, rankdata(explained) ** 2))


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
        by_cluster, sizes = _sums(counts, factors, labels)
        gains.append(_x_log_ratio(by_cluster, sizes[:, None] * rate).sum())
    return np.array(gains) / saturated if saturated > 0 else np.zeros(len(gains))


def pairwise_agreement(labellings: Sequence[Labels]) -> NDArray[np.float64]:
    """Return the adjusted Rand index :cite:p:`Hubert1985` of all pairs, labellings × labellings."""
    from sklearn.metrics import adjusted_rand_score

    index = np.eye(len(labellings))
    for i, j in combinations(range(len(labellings)), 2):
        index[i, j] = index[j, i] = adjusted_rand_score(labellings[i], labellings[j])
    return index


def mean_agreement(index: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the mean agreement of each labelling with the others; NaN for a single one.

    Parameters
    ----------
    index
        Agreement of all pairs, labellings × labellings, with 1 on the diagonal.
    weights
        Positive weight of each labelling as one of the others, shape (n_labellings,); None for
        equal weights.
    """
    shares = np.ones(len(index)) if weights is None else weights
    if len(index) == 1:
        return np.full(1, np.nan)
    return (index @ shares - shares) / (shares.sum() - shares)


def _sums(
    counts: sparse.csr_matrix, factors: NDArray[np.float64], labels: Labels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of counts, clusters × genes, and of size factors, by cluster."""
    cells = np.arange(len(labels))
    # as wide as the sums must be: float32 would round them
    indicator = sparse.csr_array((np.ones(len(labels)), (labels, cells)))
    return np.asarray((indicator @ counts).todense()), indicator @ factors


def _x_log_ratio(x: NDArray[np.floating], mean: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return x log(x / mean), which is 0 for x = 0."""
    from scipy.special import xlogy

    values: NDArray[np.float64] = xlogy(x, np.divide(x, mean, out=np.ones(mean.shape), where=x > 0))
    return values
