from itertools import pairwise

import numpy as np
import pytest
import torch

import scx
from models import FAST, trained_infovae
from scx.model._infovae.model import ClusteringPhase


def test_phases_share_one_run(pbmc):
    plan = {"clustering_fraction": 0.5}
    model = trained_infovae(pbmc, 6, n_clusters=4, plan_kwargs=plan)
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
    assert "clustering_loss" not in trained_infovae(pbmc, 4).history


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


def test_second_phase_draws_cells_to_centers(pbmc):
    """With a large γ, cells lie nearer to the centres, for their spread, than without."""
    from scx.model._core.losses import student_t

    confidence = []
    for gamma in (0.0, 1000.0):
        plan = {"clustering_fraction": 0.5, "clustering_lr": 0.003}
        model = trained_infovae(pbmc, 20, n_clusters=4, gamma=gamma, plan_kwargs=plan)
        embedding = torch.tensor(model.get_latent_representation())
        confidence.append(student_t(embedding, model.module.centers).max(dim=1).values.mean().item())
    assert confidence[1] > confidence[0] + 0.05
