import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scvi.distributions import ZeroInflatedNegativeBinomial

from likelihoods import count_model, log_prob
from scx.model._core.zinb import SparseZINB


@given(seed=st.integers(0, 2**31), log_range=st.floats(0, 3), per_gene=st.booleans())
@settings(deadline=None)
def test_zinb_is_that_of_scvi_in_value_and_gradient(seed, log_range, per_gene):
    x, *parameters = count_model(seed, 5, 7, log_range, per_gene=per_gene)
    ours, theirs = ([p.clone().requires_grad_() for p in parameters] for _ in range(2))
    value = log_prob(SparseZINB, x, *ours)
    reference = log_prob(ZeroInflatedNegativeBinomial, x, *theirs)
    # as near as the 1e-8 that both add, at slightly different places, lets them be
    torch.testing.assert_close(value, reference, rtol=1e-5, atol=1e-5)
    value.sum().backward()
    reference.sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_zinb_in_single_precision_is_near_that_in_double(seed):
    arguments = count_model(seed, 5, 7, 3, per_gene=False)
    value = log_prob(SparseZINB, *(values.float() for values in arguments)).sum(dim=1)
    np.testing.assert_allclose(value, log_prob(SparseZINB, *arguments).sum(dim=1), rtol=1e-3)


def test_zinb_is_scipys_without_dropout():
    x, mean, dispersion, _ = count_model(0, 6, 50, 1, per_gene=False)
    value = log_prob(SparseZINB, x, mean, dispersion, torch.full_like(x, -200.0))
    p = dispersion / (dispersion + mean)
    np.testing.assert_allclose(value, stats.nbinom.logpmf(x, dispersion, p), rtol=1e-6, atol=1e-9)


def test_zinb_gradient_is_finite_at_the_edges():
    edges = torch.tensor([0.0, 1.0, 1e6]), torch.tensor([0.0, 1e-8, 1e6]), torch.tensor([1e-8, 1.0, 1e6])
    x, mean, dispersion, logits = torch.cartesian_prod(*edges, torch.tensor([-100.0, 0.0, 100.0])).T[:, None, :]
    parameters = [values.clone().requires_grad_() for values in (mean, dispersion, logits)]
    value = log_prob(SparseZINB, x, *parameters)
    value.sum().backward()
    assert value.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in parameters)
