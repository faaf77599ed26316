import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scvi.distributions import ZeroInflatedNegativeBinomial

from likelihoods import count_model, log_prob
from scx.model._core import losses as _losses


def test_decoded_likelihood_is_that_of_the_distribution():
    """Log mean at size 1, logit of a dropout, and log dispersion of gene and cell, side by side."""
    x, mean, dispersion, logits = count_model(3, 4, 6, 1, per_gene=False)
    size = torch.tensor([[0.5], [1.0], [2.0], [3.0]], dtype=torch.float64)
    expected = -log_prob(ZeroInflatedNegativeBinomial, x, mean * size, dispersion, logits).sum(dim=1)
    decoded = torch.cat([mean.log(), logits, dispersion.log()], dim=1)
    torch.testing.assert_close(_losses.decoded_zinb_nll(x, decoded, size, None), expected, rtol=1e-5, atol=1e-5)
    by_gene = dispersion[0]
    expected = -log_prob(ZeroInflatedNegativeBinomial, x, mean * size, by_gene, logits).sum(dim=1)
    value = _losses.decoded_zinb_nll(x, decoded[:, :12], size, by_gene.log())
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_gaussian_terms_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    x, mean, log_variance = torch.randn(3, 6, 4, generator=generator, dtype=torch.float64)
    law = torch.distributions.Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(_losses.gaussian_nll(x, mean, log_variance), -law.log_prob(x).sum(dim=1))
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    reference = torch.distributions.kl_divergence(law, prior).sum(dim=1)
    torch.testing.assert_close(_losses.gaussian_kl(mean, log_variance), reference)


def mmd_by_loop(first, second, kernel):
    """The formula, pair by pair, in float64."""
    d = first.shape[1]

    def k(x, y):
        distance = ((x - y) ** 2).sum()
        bandwidths = [2 * d * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return np.mean([np.exp(-distance / c) if kernel == "rbf" else c / (c + distance) for c in bandwidths])

    def within(x):
        return np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])

    return within(first) + within(second) - 2 * np.mean([k(x, y) for x in first for y in second])


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_is_the_formula(kernel):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 3)), rng.normal(1, 2, size=(7, 3))
    value = _losses.mmd(torch.tensor(first), torch.tensor(second), kernel)
    assert value.item() == pytest.approx(mmd_by_loop(first, second, kernel), rel=1e-9)
    by_default = _losses.mmd(torch.tensor(first), torch.tensor(second))
    assert (by_default == value) == (kernel == "imq")


def test_mmd_of_two_gaussians_is_the_closed_form():
    """RBF kernels have Gaussian means: E k(x, y) = (c / (c + 4v))^(d/2) exp(−‖μ‖² / (c + 4v)) for x − y ~ N(μ, 2v I)."""
    d, n, n_batches, shift, variance = 2, 300, 60, 0.8, 0.25
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, n_batches, n, d, generator=generator, dtype=torch.float64)
    first = shift + variance**0.5 * first

    def expected(v, mu):
        c = 2 * d * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
        return np.mean((c / (c + 4 * v)) ** (d / 2) * np.exp(-d * mu**2 / (c + 4 * v)))

    closed = expected(variance, 0) + expected(1, 0) - 2 * expected((variance + 1) / 2, shift)
    values = np.array([_losses.mmd(x, y, "rbf").item() for x, y in zip(first, second, strict=True)])
    standard_error = values.std() / n_batches**0.5
    assert standard_error < 0.02 * closed
    assert values.mean() == pytest.approx(closed, abs=3 * standard_error)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_of_one_distribution_is_zero_on_average(kernel):
    """Unbiased: over many pairs of small samples the mean lies within four standard errors of 0, on both sides of it."""
    generator = torch.Generator().manual_seed(0)
    values = np.array([_losses.mmd(*torch.randn(2, 20, 3, generator=generator), kernel).item() for _ in range(2000)])
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    assert (values < 0).mean() > 0.3
    apart = _losses.mmd(torch.randn(20, 3, generator=generator) + 2, torch.randn(20, 3, generator=generator), kernel)
    assert apart > values.max()


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_gradient(kernel):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    first.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _losses.mmd(x, second, kernel), (first,))


@given(n=st.integers(1, 9), k=st.integers(1, 5), seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_clustering_terms_are_the_formulas(n, k, seed):
    rng = np.random.default_rng(seed)
    points, centers = rng.normal(size=(n, 3)), rng.normal(size=(k, 3))
    q = np.array([[1 / (1 + ((z - r) ** 2).sum()) for r in centers] for z in points])
    q /= q.sum(axis=1, keepdims=True)
    p = q**2 / q.sum(axis=0)
    p /= p.sum(axis=1, keepdims=True)
    assignment = _losses.student_t(torch.tensor(points), torch.tensor(centers))
    target = _losses.sharpened_target(assignment)
    np.testing.assert_allclose(assignment, q, rtol=1e-9)
    np.testing.assert_allclose(target, p, rtol=1e-9)
    divergence = _losses.clustering_divergence(target, assignment)
    np.testing.assert_allclose(divergence, [stats.entropy(a, b) for a, b in zip(p, q, strict=True)], atol=1e-9)


def test_target_sharpens():
    """Confident cells gain, and no gradient reaches the target."""
    assignment = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]], requires_grad=True)
    target = _losses.sharpened_target(assignment)
    assert not target.requires_grad
    assert (target.max(dim=1).values > assignment.max(dim=1).values).all()
