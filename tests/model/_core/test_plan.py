import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

import scx
from scx._rng import global_seed


class Watch(Callback):
    """Record the learning rate and the loss of every step."""

    def __init__(self):
        self.lr, self.losses, self.epochs = [], [], []

    def on_train_batch_start(self, trainer, plan, batch, batch_idx):
        self.lr.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.n_cells = len(batch.x)

    def on_train_batch_end(self, trainer, plan, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        self.epochs.append(trainer.current_epoch)


def watched(pbmc, max_epochs, **plan_kwargs):
    scx.model.Contrastive.setup_anndata(pbmc)
    model = scx.model.Contrastive(pbmc)
    watch = Watch()
    with global_seed(0):
        model.train(max_epochs, batch_size=100, plan_kwargs=plan_kwargs, callbacks=[watch], enable_progress_bar=False)
    return model, watch


def test_cosine_over_the_real_number_of_steps(pbmc):
    _, watch = watched(pbmc, 4, lr=0.02)
    expected = [0.02 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    np.testing.assert_allclose(watch.lr, expected, rtol=1e-6)


def test_cosine_over_other_epochs(pbmc):
    _, watch = watched(pbmc, 2, lr=0.02, schedule_epochs=10)
    expected = [0.02 * (1 + math.cos(math.pi * step / 30)) / 2 for step in range(6)]
    np.testing.assert_allclose(watch.lr, expected, rtol=1e-6)


def test_constant(pbmc):
    _, watch = watched(pbmc, 2, lr=0.02, schedule="constant")
    assert watch.lr == [0.02] * 6


def test_history_is_the_mean_loss_of_each_epoch(pbmc):
    model, watch = watched(pbmc, 3)
    by_epoch = [
        np.mean([x for x, e in zip(watch.losses, watch.epochs, strict=True) if e == epoch]) for epoch in range(3)
    ]
    np.testing.assert_allclose(model.history["loss"]["loss"].to_numpy(dtype=float), by_epoch, rtol=1e-5)


def test_training_again_continues_the_history(pbmc):
    model, _ = watched(pbmc, 3)
    mean = model.module.normalize.mean.clone()
    model.train(2, enable_progress_bar=False)
    assert len(model.history["loss"]) == 5
    assert torch.equal(model.module.normalize.mean, mean)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_loss_falls(pbmc, schedule):
    model, _ = watched(pbmc, 15, schedule=schedule)
    loss = model.history["loss"]["loss"].to_numpy(dtype=float)
    assert loss[-3:].mean() < loss[:3].mean()
