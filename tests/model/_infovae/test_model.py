import anndata as ad
import numpy as np
import pytest
import scipy.stats
import torch

import scx
from batches import batch_of
from models import trained_infovae


def information(model):
    """Estimate I(x; z) as E KL(q(z | x) ‖ q(z)), and count dimensions whose means vary with the cell."""
    mean, log_variance = (
        torch.cat(parts) for parts in zip(*(model.module.posterior(batch) for batch in model._passes()), strict=True)
    )
    z = model.module.sample(mean, log_variance)
    law = torch.distributions.Normal(mean, (log_variance / 2).exp())
    log_density = law.log_prob(z[:, None]).sum(dim=2)  # of each draw, under every cell's posterior
    own = log_density.diagonal()
    aggregate = torch.logsumexp(log_density, dim=1) - np.log(len(z))
    return (own - aggregate).mean().item(), int((mean.var(dim=0) > 0.1).sum())


@pytest.mark.slow
def test_mutual_information_is_used():
    """A decoder that ignores z explains independent noise best; α = 1 keeps the embedding informative all the same."""
    rng = np.random.default_rng(0)
    types = rng.integers(3, size=300)
    rates = np.exp(0.15 * rng.normal(size=(3, 40)))[types]
    adata = ad.AnnData(rng.poisson(rates).astype(np.float32))
    plain, informed = (
        trained_infovae(adata, 100, alpha=alpha, lambda_=lambda_, plan_kwargs={"schedule": "constant"})
        for alpha, lambda_ in ((0.0, 1.0), (1.0, 10.0))
    )
    with torch.no_grad():
        (mi_plain, units_plain), (mi_informed, units_informed) = information(plain), information(informed)
    assert mi_informed > mi_plain + 0.5
    assert units_informed > units_plain


def test_give_mean(pbmc):
    model = trained_infovae(pbmc, 2)
    mean = model.get_latent_representation()
    torch.manual_seed(0)
    draws = np.stack([model.get_latent_representation(give_mean=False) for _ in range(50)])
    _, log_variance = model.module.posterior(batch_of(torch.tensor(pbmc.X.toarray())))
    deviation = (draws.mean(axis=0) - mean) / np.exp(log_variance.detach().numpy() / 2) * np.sqrt(50)
    assert abs(deviation.mean()) < 0.1
    assert deviation.std() == pytest.approx(1, abs=0.1)


def test_elbo_rises_with_training(pbmc):
    assert trained_infovae(pbmc, 15).get_elbo() > trained_infovae(pbmc, 1).get_elbo()


def test_normalized_expression_is_that_of_a_median_cell(pbmc):
    model = trained_infovae(pbmc, 15)
    expression = model.get_normalized_expression(indices=[5, 2])
    assert expression.index.tolist() == pbmc.obs_names[[5, 2]].tolist()
    assert expression.columns.equals(pbmc.var_names)
    whole = model.get_normalized_expression()
    np.testing.assert_allclose(whole.to_numpy()[[5, 2]], expression, rtol=1e-4)
    totals = np.asarray(pbmc.X.sum(axis=1)).ravel()
    observed = np.asarray(pbmc.X.toarray() / totals[:, None] * np.median(totals)).mean(axis=0)
    assert scipy.stats.spearmanr(observed, whole.mean(axis=0)).statistic > 0.9


def test_gaussian_likelihood_takes_any_values():
    manifold = scx.datasets.polynomial_manifold()[::4].copy()
    model = trained_infovae(manifold, 30, likelihood="gaussian", n_latent=2)
    expected = model.get_normalized_expression().to_numpy()
    residual = ((expected - manifold.X) ** 2).sum(axis=0) / ((manifold.X - manifold.X.mean(axis=0)) ** 2).sum(axis=0)
    assert residual.mean() < 0.5
    shifted = ad.AnnData(100 * manifold.X - 7)
    other = trained_infovae(shifted, 30, likelihood="gaussian", n_latent=2)
    np.testing.assert_allclose(other.get_latent_representation(), model.get_latent_representation(), atol=1e-2)
