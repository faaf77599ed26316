import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scx._clustering.evidence import deviance_explained, evidence, mean_agreement, pairwise_agreement


@pytest.fixture
def groups():
    """Counts of three groups with size factors, and the groups."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), [60, 30, 10])
    rates = rng.gamma(1.0, 1.0, size=(3, 40))
    factors = rng.uniform(0.5, 2.0, size=100)
    counts = rng.poisson(factors[:, None] * rates[truth]).astype(np.float32)
    return sparse.csr_matrix(counts), factors, truth


def poisson_log_likelihood(counts, factors, labels):
    """Log-likelihood of counts with one rate for each cluster and gene, by torch."""
    dense, means = counts.toarray().astype(float), np.empty(counts.shape)
    for cluster in np.unique(labels):
        cells = labels == cluster
        means[cells] = factors[cells, None] * dense[cells].sum(axis=0) / factors[cells].sum()
    log_prob = torch.distributions.Poisson(torch.tensor(means), validate_args=False).log_prob(torch.tensor(dense))
    return log_prob.sum().item()


def test_deviance_explained_is_the_relative_gain_in_log_likelihood(groups):
    counts, factors, truth = groups
    dense = torch.tensor(counts.toarray(), dtype=torch.float64)
    saturated = torch.distributions.Poisson(dense, validate_args=False).log_prob(dense).sum().item()
    single = poisson_log_likelihood(counts, factors, np.zeros(100, dtype=int))
    halves = np.arange(100) % 2
    expected = [
        (poisson_log_likelihood(counts, factors, labels) - single) / (saturated - single) for labels in (truth, halves)
    ]
    assert deviance_explained(counts, factors, [truth, halves]) == pytest.approx(expected, rel=1e-9)


def test_bounds(groups):
    counts, factors, _ = groups
    one, all_cells = np.zeros(100, dtype=int), np.arange(100)
    assert deviance_explained(counts, factors, [one]) == pytest.approx([0], abs=1e-12)
    assert deviance_explained(counts, factors, [all_cells]) == pytest.approx([1])
    assert deviance_explained(sparse.csr_matrix((100, 4), dtype=np.float32), factors, [all_cells]) == [0]


def test_does_not_depend_on_names_order_or_depth(groups):
    counts, factors, truth = groups
    order = np.random.default_rng(1).permutation(100)
    shuffled = deviance_explained(counts[order], 7 * factors[order], [2 - truth[order]])
    assert shuffled == pytest.approx(deviance_explained(counts, factors, [truth]))


def test_agreement_is_the_mean_adjusted_rand_index(groups):
    *_, truth = groups
    halves, merged = np.arange(100) % 2, np.minimum(truth, 1)
    first, second = adjusted_rand_score(truth, halves), adjusted_rand_score(truth, merged)
    index = pairwise_agreement([truth, halves, merged])
    assert mean_agreement(index)[0] == pytest.approx((first + second) / 2)
    assert mean_agreement(index, np.array([9.0, 3, 1]))[0] == pytest.approx((3 * first + second) / 4)
    assert np.isnan(mean_agreement(np.eye(1))).all()


def test_the_score_weighs_by_the_rank_of_the_fit(groups):
    counts, factors, truth = groups
    halves, merged = np.arange(100) % 2, np.minimum(truth, 1)  # the truth fits best, the halves worst
    found = evidence(counts, factors, [merged, halves, truth])
    assert found.deviance_explained.argsort().tolist() == [1, 0, 2]
    first, second = adjusted_rand_score(merged, halves), adjusted_rand_score(merged, truth)
    assert found.score[0] == pytest.approx((1 * first + 9 * second) / 10)
    assert found.agreement[0] == pytest.approx((first + second) / 2)


def test_the_truth_has_the_highest_score(groups):
    counts, factors, truth = groups
    rng = np.random.default_rng(2)
    worse = []
    for share in (0.05, 0.1, 0.2, 0.4):
        labels = truth.copy()
        moved = rng.random(100) < share
        labels[moved] = rng.integers(0, 3, moved.sum())
        worse.append(labels)
    found = evidence(counts, factors, [*worse, truth])
    assert found.score.argmax() == 4


def test_equal_labellings_have_equal_scores(groups):
    counts, factors, truth = groups
    found = evidence(counts, factors, [truth, 2 - truth])
    assert found.score.tolist() == found.agreement.tolist() == [1, 1]
