import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scx.model import _losses


def nt_xent_by_loop(first, second, temperature):
    """The formula, term by term, in float64."""
    views = np.concatenate([first, second])
    n = len(first)
    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        terms = {
            j: np.exp(views[i] @ views[j] / np.linalg.norm(views[i]) / np.linalg.norm(views[j]) / temperature)
            for j in range(2 * n)
            if j != i
        }
        total -= np.log(terms[partner] / sum(terms.values()))
    return total / (2 * n)


@given(n=st.integers(1, 8), d=st.integers(1, 6), temperature=st.floats(0.05, 2.0), seed=st.integers(0, 2**31))
def test_nt_xent_is_the_formula(n, d, temperature, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, n, d))
    loss = _losses.nt_xent(torch.tensor(first), torch.tensor(second), temperature)
    np.testing.assert_allclose(loss.item(), nt_xent_by_loop(first, second, temperature), rtol=1e-9, atol=1e-9)


def test_nt_xent_gradient():
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: _losses.nt_xent(v[0], v[1], 0.3), (views,))


def test_nt_xent_extremes():
    """One cell has nothing to tell apart; identical cells cannot be told apart; opposite cells are, at any temperature."""
    one = torch.tensor([[1.0, 2.0]])
    assert _losses.nt_xent(one, one, 0.07).item() == 0
    same = torch.ones(4, 3)
    assert _losses.nt_xent(same, same, 0.07).item() == pytest.approx(np.log(7), rel=1e-5)
    apart = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert _losses.nt_xent(apart, apart, 0.01).item() == pytest.approx(0, abs=1e-6)


def test_nt_xent_does_not_see_scale_or_order():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, 4, generator=generator)
    loss = _losses.nt_xent(first, second, 0.5)
    torch.testing.assert_close(_losses.nt_xent(first * 3, second * 0.1, 0.5), loss)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(_losses.nt_xent(first[order], second[order], 0.5), loss)
    torch.testing.assert_close(_losses.nt_xent(second, first, 0.5), loss)
