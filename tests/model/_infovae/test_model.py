import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

import scx
from batches import batch_of
from models import FAST, trained_infovae
from scx._rng import global_seed


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


@pytest.fixture(scope="module")
def two_batches():
    """Four types in two batches that multiply the rates of genes by different factors, and a model of them."""
    rng = np.random.default_rng(0)
    types, batches = rng.integers(4, size=400), rng.integers(2, size=400)
    rates = np.exp(rng.normal(size=(4, 150)))[types] * np.exp(0.4 * rng.normal(size=(2, 150)))[batches]
    obs = pd.DataFrame({"type": types, "batch": batches}, index=[f"c{i}" for i in range(400)])
    adata = ad.AnnData(rng.poisson(rates).astype(np.float32), obs=obs)
    with global_seed(0):
        scx.model.InfoVAE.setup_anndata(adata, batch_key="batch")
        model = scx.model.InfoVAE(adata)
        model.train(60, **FAST)
    return adata, model


def other_batches_nearby(adata, embedding):
    """Mean share of the 15 nearest cells that are of the other batch, about 0.5 by chance."""
    nearest = NearestNeighbors(n_neighbors=15).fit(embedding).kneighbors(return_distance=False)
    batches = adata.obs["batch"].to_numpy()
    return (batches[nearest] != batches[:, None]).mean()


@pytest.mark.slow
def test_cells_of_a_type_mix_whatever_their_batch(two_batches):
    adata, model = two_batches
    embedding = model.get_latent_representation()
    without = trained_infovae(adata.copy(), 60).get_latent_representation()
    assert other_batches_nearby(adata, embedding) > 0.35 > 0.2 > other_batches_nearby(adata, without)
    clusters = KMeans(4, n_init=10, random_state=0).fit_predict(embedding)
    assert adjusted_rand_score(adata.obs["type"], clusters) > 0.95


@pytest.mark.slow
def test_the_decoder_has_the_expression_of_each_batch(two_batches):
    """Where the cells of one type are decoded as those of the other batch, genes change as the batches differ."""
    adata, model = two_batches
    other = adata.copy()
    other.obs["batch"] = 1 - adata.obs["batch"]
    own, swapped = (np.log(model.get_normalized_expression(cells)) for cells in (adata, other))
    sign = np.where(adata.obs["batch"] == 0, 1, -1)[:, None]
    counts = np.asarray(adata.X, dtype=np.float64)
    depth = counts.sum(axis=1, keepdims=True)
    means = [np.log((counts / depth)[adata.obs["batch"] == batch].mean(axis=0)) for batch in (0, 1)]
    change = (sign * (swapped - own)).mean(axis=0)
    assert np.corrcoef(change, means[1] - means[0])[0, 1] > 0.95


@pytest.mark.slow
def test_new_cells_need_no_batch(two_batches, tmp_path):
    """The encoder sees genes only. What is decoded depends on the batch, and unknown ones are said."""
    adata, model = two_batches
    model.save(tmp_path / "model")
    loaded = scx.model.load(tmp_path / "model")
    query = adata[:50].copy()
    embedding, expression = model.get_latent_representation(query), model.get_normalized_expression(query)
    np.testing.assert_array_equal(loaded.get_normalized_expression(query), expression)
    elsewhere, nowhere = query.copy(), query.copy()
    elsewhere.obs["batch"] = elsewhere.obs["batch"].astype(str).replace("1", "2")
    del nowhere.obs["batch"]
    n_unknown = int((query.obs["batch"] == 1).sum())
    for cells, n in ((elsewhere, n_unknown), (nowhere, 50)):
        np.testing.assert_array_equal(loaded.get_latent_representation(cells), embedding)
        with pytest.warns(UserWarning, match=f"{n} of 50 cells are of no batch .*Its batches are '0', '1'"):
            found = loaded.get_normalized_expression(cells)
        is_unknown = ~cells.obs.get("batch", pd.Series("2", cells.obs_names)).astype(str).isin(["0", "1"]).to_numpy()
        np.testing.assert_array_equal(found[~is_unknown], expression[~is_unknown])
        assert (found[is_unknown] != expression[is_unknown]).any(axis=1).all()
        with pytest.warns(UserWarning, match="1 of 1 cells"):
            loaded.get_elbo(cells, [int(np.flatnonzero(is_unknown)[0])])
