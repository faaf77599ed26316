"""Contrastive losses and soft assignments, each against loops written from the articles, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scx.model._core import losses as _losses


def sim(a, b):
    """Equation 13, read as cosine similarity."""
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def instance_wise(z, z_prime, temperature):
    """Equations 12 and 14."""
    n = len(z)

    def term(i, z, z_prime):
        below = sum(np.exp(sim(z[i], z[m]) / temperature) for m in range(n) if m != i)
        below += sum(np.exp(sim(z[i], z_prime[m]) / temperature) for m in range(n))
        return -np.log(np.exp(sim(z[i], z_prime[i]) / temperature) / below)

    return sum(term(i, z, z_prime) + term(i, z_prime, z) for i in range(n)) / (2 * n)


def instance_wise_within_batches(z, z_prime, temperature, batches):
    """The same, where the views that a view is told from are those of its batch."""
    views, n = np.concatenate([z, z_prime]), len(z)

    def term(i):
        partner = (i + n) % (2 * n)
        compared = {j for j in range(2 * n) if j != i and batches[j] == batches[i]} | {partner}
        below = sum(np.exp(sim(views[i], views[j]) / temperature) for j in compared)
        return -np.log(np.exp(sim(views[i], views[partner]) / temperature) / below)

    return sum(map(term, range(2 * n))) / (2 * n)


def cluster_aware(z, z_prime, labels, temperature, batches=None):
    """Equations 15 and 16; with batches, the views below are those of the batch of the view."""
    views = np.concatenate([z, z_prime])

    def term(i):
        above = below = 0.0
        for j in range(len(views)):
            if j != i and labels[j] == labels[i]:
                above += np.exp(sim(views[i], views[j]) / temperature)
            elif j != i and (batches is None or batches[j] == batches[i]):
                below += np.exp(sim(views[i], views[j]) / temperature)
        return -np.log(above / below) if above and below else 0.0

    return sum(term(i) for i in range(len(views))) / len(views)


views = {
    "n": st.integers(1, 8),
    "d": st.integers(1, 6),
    "temperature": st.floats(0.05, 2.0),
    "block": st.sampled_from([1, 10, 2**24]),
    "seed": st.integers(0, 2**31),
}


@given(**views)
def test_instance_wise_loss_is_the_formula(n, d, temperature, block, seed):
    first, second = np.random.default_rng(seed).normal(size=(2, n, d))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_losses, "BLOCK_SIZE", block)
        loss = _losses.nt_xent(torch.tensor(first), torch.tensor(second), temperature)
    np.testing.assert_allclose(loss.item(), instance_wise(first, second, temperature), rtol=1e-9, atol=1e-9)


@given(**{**views, "n": st.integers(2, 8)}, n_clusters=st.integers(2, 4))
def test_cluster_aware_loss_is_the_formula(n, d, temperature, block, seed, n_clusters):
    """Also with views that are alone in their cluster, batches of two, and two views of one row in different clusters."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, n, d))
    labels = rng.integers(n_clusters, size=2 * n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_losses, "BLOCK_SIZE", block)
        loss = _losses.cluster_aware(torch.tensor(first), torch.tensor(second), torch.tensor(labels), temperature)
    np.testing.assert_allclose(loss.item(), cluster_aware(first, second, labels, temperature), rtol=1e-9, atol=1e-9)


@given(**views, n_batches=st.integers(1, 3), n_clusters=st.integers(2, 4))
def test_losses_within_batches_are_the_formulas(n, d, temperature, block, seed, n_batches, n_clusters):
    """Also for partners from another batch, views that are alone in theirs, and batches of one cluster."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, n, d))
    batches, labels = rng.integers(n_batches, size=2 * n), rng.integers(n_clusters, size=2 * n)
    arguments = (torch.tensor(first), torch.tensor(second))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_losses, "BLOCK_SIZE", block)
        instance = _losses.nt_xent(*arguments, temperature, torch.tensor(batches))
        cluster = _losses.cluster_aware(*arguments, torch.tensor(labels), temperature, torch.tensor(batches))
    expected = instance_wise_within_batches(first, second, temperature, batches)
    np.testing.assert_allclose(instance.item(), expected, rtol=1e-9, atol=1e-9)
    expected = cluster_aware(first, second, labels, temperature, batches)
    np.testing.assert_allclose(cluster.item(), expected, rtol=1e-9, atol=1e-9)
    if n_batches == 1:
        np.testing.assert_allclose(instance.item(), instance_wise(first, second, temperature), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("block", [20, 2**24])
def test_gradients(monkeypatch, block):
    monkeypatch.setattr(_losses, "BLOCK_SIZE", block)
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 2, 1, 0, 1, 1, 3, 1])
    assert torch.autograd.gradcheck(lambda v: _losses.nt_xent(v[0], v[1], 0.3), (views,))
    assert torch.autograd.gradcheck(lambda v: _losses.cluster_aware(v[0], v[1], labels, 0.3), (views,))


def test_one_cluster_in_the_batch_has_no_loss_and_no_gradient():
    views = torch.randn(2, 5, 3, requires_grad=True)
    loss = _losses.cluster_aware(views[0], views[1], torch.full((10,), 3), 0.5)
    loss.backward()
    assert loss.item() == 0
    assert (views.grad == 0).all()


def test_cluster_aware_loss_of_duplicates():
    """Identical cells in two clusters of two: of the 7 other views 3 are positives, of all 8 views 4 are negatives."""
    views = torch.ones(2, 4, 3, requires_grad=True)
    loss = _losses.cluster_aware(views[0], views[1], torch.tensor([0, 0, 1, 1] * 2), 0.05)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(4 / 3), rel=1e-4)
    assert torch.isfinite(views.grad).all()


def test_cluster_aware_loss_of_a_small_temperature_does_not_overflow():
    views = torch.randn(2, 30, 3, requires_grad=True)
    loss = _losses.cluster_aware(views[0], views[1], torch.arange(60) % 4, 0.001)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(views.grad).all()


@pytest.mark.parametrize("loss", ["nt_xent", "cluster_aware"])
def test_memory_grows_with_the_batch_not_with_its_square(loss):
    """What is kept for the backward pass of 3,000 cells is less than one 3,000 × 3,000 matrix."""
    views = torch.randn(2, 3000, 8, requires_grad=True)
    labels = (torch.arange(6000) % 5,) if loss == "cluster_aware" else ()
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = getattr(_losses, loss)(views[0], views[1], *labels, 0.5)
    assert 0 < kept < 3000**2
    value.backward()


@given(
    n=st.integers(1, 6), k=st.integers(1, 4), d=st.integers(1, 5), alpha=st.floats(0.5, 5), seed=st.integers(0, 2**31)
)
def test_student_t_is_the_formula(n, k, d, alpha, seed):
    rng = np.random.default_rng(seed)
    h, c = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    above = np.array([[(1 + np.sum((hi - cj) ** 2) / alpha) ** (-(alpha + 1) / 2) for cj in c] for hi in h])
    q = _losses.student_t(torch.tensor(h), torch.tensor(c), alpha).numpy()
    np.testing.assert_allclose(q, above / above.sum(axis=1, keepdims=True), rtol=1e-6)


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
