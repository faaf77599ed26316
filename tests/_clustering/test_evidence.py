import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scx._clustering.evidence import (
    deviance_explained,
    evidence,
    log_likelihood,
    reassigned,
)


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


def test_log_likelihood_is_that_of_torch(groups):
    counts, factors, truth = groups
    halves = np.arange(100) % 2
    expected = [poisson_log_likelihood(counts, factors, labels) / 100 for labels in (truth, halves)]
    assert log_likelihood(counts, factors, [truth, halves]) == pytest.approx(expected, rel=1e-9)


def test_cells_are_reassigned_by_the_profiles_of_the_others(groups):
    counts, factors, truth = groups
    shuffled = np.random.default_rng(3).permutation(truth)
    stable, unstable = reassigned(counts, factors, [truth, shuffled], 0)
    assert stable > 0.97
    assert unstable < 0.65
    # the first fold by a loop
    dense, halves = counts.toarray().astype(float), np.array_split(np.random.default_rng(0).permutation(100), 2)
    n_same = 0
    for known, new in (halves, halves[::-1]):
        mean = (dense[known].sum(axis=0) + 0.5) / factors[known].sum()
        added = np.median(factors)
        rates = np.stack(
            [
                (dense[known][truth[known] == c].sum(axis=0) + added * mean)
                / (factors[known][truth[known] == c].sum() + added)
                for c in range(3)
            ]
        )
        for cell in new:
            means = torch.tensor(factors[cell] * rates)
            fits = torch.distributions.Poisson(means).log_prob(torch.tensor(dense[cell])).sum(dim=1)
            n_same += int(fits.argmax()) == truth[cell]
    assert stable == n_same / 100


def test_no_cell_gets_a_cluster_without_cells_in_the_other_half(groups):
    counts, factors, _ = groups
    labels = np.zeros(100, dtype=int)
    labels[np.random.default_rng(0).permutation(100)[50:]] = 1  # each half is a cluster
    assert reassigned(counts, factors, [labels], 0) == [0]


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


def test_agreement_and_score_are_mean_adjusted_rand_indices(groups):
    counts, factors, truth = groups
    halves, merged = np.arange(100) % 2, np.minimum(truth, 1)  # the truth fits best, the halves worst
    found = evidence(counts, factors, [merged, halves, truth])
    assert found.deviance_explained.argsort().tolist() == [1, 0, 2]
    first, second = adjusted_rand_score(merged, halves), adjusted_rand_score(merged, truth)
    assert found.agreement[0] == pytest.approx((first + second) / 2)
    assert found.score[0] == pytest.approx((2 * 1 + 1 * first + 3 * second) / 6)


def test_a_single_labelling_agrees_with_nothing(groups):
    counts, factors, truth = groups
    found = evidence(counts, factors, [truth])
    assert np.isnan([found.score[0], found.agreement[0]]).all()


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
