from itertools import pairwise

import anndata as ad
import numpy as np
import pytest
import scipy.stats
import torch

import scx
from batches import batch_of
from scx._rng import global_seed
from scx.model._infovae.model import ClusteringPhase

FAST = {"batch_size": 100, "enable_progress_bar": False}


def trained(adata, max_epochs=4, seed=0, plan_kwargs=None, **module_kwargs):
    with global_seed(seed):
        scx.model.InfoVAE.setup_anndata(adata)
        model = scx.model.InfoVAE(adata, **module_kwargs)
        model.train(max_epochs, plan_kwargs=plan_kwargs, **FAST)
    return model


def test_loss_is_equation_3(pbmc):
    """Whatever the weights, the loss is their sum of terms; α moves weight from each cell's divergence to the aggregate's."""
    scx.model.InfoVAE.setup_anndata(pbmc)
    for alpha, lambda_ in ((0.0, 1.0), (0.5, 3.0), (1.0, 10.0)):
        module = scx.model.InfoVAE(pbmc, alpha=alpha, lambda_=lambda_).module
        losses = module.loss(batch_of(torch.tensor(pbmc.X[:50].toarray())))
        expected = (
            losses["reconstruction_loss"]
            + (1 - alpha) * losses["kl_divergence"]
            + (alpha + lambda_ - 1) * losses["mmd"]
        )
        torch.testing.assert_close(losses["loss"], expected)


def test_phases_share_one_run(pbmc):
    plan = {"clustering_fraction": 0.5}
    model = trained(pbmc, 6, n_clusters=4, plan_kwargs=plan)
    history = model.history
    assert history["loss"].index.tolist() == [0, 1, 2, 3, 4, 5]
    assert history["clustering_loss"].index.tolist() == [3, 4, 5]
    assert model.module.centers.abs().sum() > 0


def test_learning_rate_of_each_phase(pbmc):
    from lightning.pytorch import Callback

    class Rates(Callback):
        def on_train_epoch_end(self, trainer, plan):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    rates = []
    scx.model.InfoVAE.setup_anndata(pbmc)
    model = scx.model.InfoVAE(pbmc, n_clusters=4)
    plan = {"clustering_fraction": 0.5, "schedule": "constant", "lr": 0.01, "clustering_lr": 0.001}
    model.train(4, plan_kwargs=plan, callbacks=[Rates()], **FAST)
    np.testing.assert_allclose(rates, [0.01, 0.001, 0.001, 0.001])  # the rate of the step to come


def test_no_second_phase_without_a_number_of_clusters(pbmc):
    assert "clustering_loss" not in trained(pbmc, 4).history


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_second_phase_runs_to_its_end_with_the_values_of_the_recipe(pbmc, recipe):
    """Centres hardly move in the first epochs after KMeans, which is no reason to stop."""
    scx.tl.infovae(pbmc, 4, recipe=recipe, max_epochs=44, n_top_genes=50)
    record = pbmc.uns["infovae"]
    first = record["phases"]["clustering"]
    assert first == {"default": 34, "paper": 25}[recipe]  # a quarter of the epochs; 500 of 1,100
    assert len(record["history"]["loss"]) == 44
    assert np.isfinite(record["history"]["clustering_loss"][first - 1 :]).all()
    assert not record["params"]["stopped_early"]


def test_target_is_renewed_at_its_interval(pbmc):
    from lightning.pytorch import Callback

    class Targets(Callback):
        def on_train_batch_start(self, trainer, plan, batch, batch_idx):
            phase = next(callback for callback in trainer.callbacks if isinstance(callback, ClusteringPhase))
            targets.append(phase.target)

    targets = []
    scx.model.InfoVAE.setup_anndata(pbmc)
    model = scx.model.InfoVAE(pbmc, n_clusters=3)
    plan = {"clustering_fraction": 0.75, "refresh_interval": 2}
    model.train(8, plan_kwargs=plan, batch_size=300, enable_progress_bar=False, callbacks=[Targets()])
    assert targets[:2] == [None, None]
    changed = [not torch.equal(a, b) for a, b in pairwise(targets[2:])]
    assert changed == [False, True, False, True, False]


def test_paper_objective_is_that_of_equation_12(pbmc):
    """The article's final objective has no divergence of single cells: α = 1, so that both phases agree."""
    scx.model.InfoVAE.setup_anndata(pbmc)
    module = scx.model.InfoVAE(pbmc, recipe="paper", n_clusters=4).module
    batch = batch_of(torch.tensor(pbmc.X[:50].toarray()), target=torch.full((50, 4), 0.25))
    losses = module.loss(batch)
    expected = (
        losses["reconstruction_loss"]
        + module.config.lambda_ * losses["mmd"]
        + module.config.gamma * losses["clustering_loss"]
    )
    torch.testing.assert_close(losses["loss"], expected)


def test_second_phase_draws_cells_to_centers(pbmc):
    """With a large γ, cells lie nearer to the centres, for their spread, than without."""
    from scx.model._core.losses import student_t

    confidence = []
    for gamma in (0.0, 1000.0):
        plan = {"clustering_fraction": 0.5, "clustering_lr": 0.003}
        model = trained(pbmc, 20, n_clusters=4, gamma=gamma, plan_kwargs=plan)
        embedding = torch.tensor(model.get_latent_representation())
        confidence.append(student_t(embedding, model.module.centers).max(dim=1).values.mean().item())
    assert confidence[1] > confidence[0] + 0.05


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
        trained(adata, 100, alpha=alpha, lambda_=lambda_, plan_kwargs={"schedule": "constant"})
        for alpha, lambda_ in ((0.0, 1.0), (1.0, 10.0))
    )
    with torch.no_grad():
        (mi_plain, units_plain), (mi_informed, units_informed) = information(plain), information(informed)
    assert mi_informed > mi_plain + 0.5
    assert units_informed > units_plain


def test_give_mean(pbmc):
    model = trained(pbmc, 2)
    mean = model.get_latent_representation()
    torch.manual_seed(0)
    draws = np.stack([model.get_latent_representation(give_mean=False) for _ in range(50)])
    _, log_variance = model.module.posterior(batch_of(torch.tensor(pbmc.X.toarray())))
    deviation = (draws.mean(axis=0) - mean) / np.exp(log_variance.detach().numpy() / 2) * np.sqrt(50)
    assert abs(deviation.mean()) < 0.1
    assert deviation.std() == pytest.approx(1, abs=0.1)


def test_elbo_rises_with_training(pbmc):
    assert trained(pbmc, 15).get_elbo() > trained(pbmc, 1).get_elbo()


def test_normalized_expression_is_that_of_a_median_cell(pbmc):
    model = trained(pbmc, 15)
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
    model = trained(manifold, 30, likelihood="gaussian", n_latent=2)
    expected = model.get_normalized_expression().to_numpy()
    residual = ((expected - manifold.X) ** 2).sum(axis=0) / ((manifold.X - manifold.X.mean(axis=0)) ** 2).sum(axis=0)
    assert residual.mean() < 0.5
    shifted = ad.AnnData(100 * manifold.X - 7)
    other = trained(shifted, 30, likelihood="gaussian", n_latent=2)
    np.testing.assert_allclose(other.get_latent_representation(), model.get_latent_representation(), atol=1e-2)


def test_cells_of_one_batch_do_not_depend_on_each_other(pbmc):
    model = trained(pbmc, 2)
    batch = batch_of(torch.tensor(pbmc.X[:20].toarray()))
    other = batch_of(batch.x[:3])
    torch.testing.assert_close(model.module.embed(batch)[:3], model.module.embed(other))
