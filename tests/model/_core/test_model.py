import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

import scx


class BatchSizes(Callback):
    def __init__(self):
        self.sizes = []

    def on_train_batch_start(self, trainer, plan, batch, batch_idx):
        self.sizes.append(len(batch.x))


@pytest.fixture
def model(pbmc):
    scx.model.Contrastive.setup_anndata(pbmc)
    return scx.model.Contrastive(pbmc, n_neighbors=0)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        (100, [100, 100, 100]),
        (120, [120, 120, 60]),  # half a batch is kept
        (140, [140, 140]),  # 20 cells are not enough for batch normalisation
        (299, [299]),
        (300, [300]),
        (500, [300]),
    ],
)
def test_ragged_batches(model, batch_size, sizes):
    watch = BatchSizes()
    model.train(1, batch_size=batch_size, callbacks=[watch], enable_progress_bar=False)
    assert watch.sizes == sizes


@pytest.mark.parametrize(("n_cells", "sizes"), [(80, [60, 20]), (121, [60, 60]), (122, [60, 60, 2])])
def test_without_batch_norm_only_a_single_cell_is_left_out(pbmc, n_cells, sizes):
    adata = pbmc[:n_cells].copy()
    scx.model.CICL.setup_anndata(adata)
    watch = BatchSizes()
    model = scx.model.CICL(adata, n_neighbors=0)
    model.train(1, batch_size=60, callbacks=[watch], enable_progress_bar=False)
    assert watch.sizes == sizes


def test_smallest_batches_of_an_odd_number_of_cells(pbmc):
    adata = pbmc[:21].copy()
    scx.model.Contrastive.setup_anndata(adata)
    watch = BatchSizes()
    scx.model.Contrastive(adata, n_neighbors=0).train(1, batch_size=2, callbacks=[watch], enable_progress_bar=False)
    assert watch.sizes == [2] * 10


def test_small_data_train_for_the_least_number_of_steps(model):
    watch = BatchSizes()
    model.train(callbacks=[watch], enable_progress_bar=False)  # 300 cells in batches of 200 and 100
    recipe = model.recipes["default"].training
    assert len(watch.sizes) == recipe.min_steps > 2 * recipe.max_epochs


def test_settled_batch_norm_standardises_the_cells_that_are_embedded(model, pbmc):
    """After training, each normalised unit has mean 0 and variance 1 over the training cells, before scale and shift."""
    model.train(3, enable_progress_bar=False)
    first_linear, first_norm = model.module.encoder[0], model.module.encoder[1]
    assert isinstance(first_norm, nn.BatchNorm1d)
    with torch.inference_mode():
        x = torch.tensor(pbmc.X.toarray())
        hidden = first_linear(model.module.normalize(x, x.sum(dim=1, keepdim=True)))
    torch.testing.assert_close(first_norm.running_mean, hidden.mean(dim=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first_norm.running_var, hidden.var(dim=0), atol=1e-4, rtol=1e-3)


def test_paper_recipe_keeps_the_statistics_of_training(pbmc):
    scx.model.Contrastive.setup_anndata(pbmc)
    model = scx.model.Contrastive(pbmc, recipe="paper")
    model.train(3, enable_progress_bar=False)
    assert int(model.module.encoder[1].num_batches_tracked) == 3 * 2


def test_normalisation_is_that_of_all_training_cells(model, pbmc):
    model.train(1, enable_progress_bar=False)
    counts = pbmc.X.toarray().astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    logged = np.log1p(counts / totals * np.median(totals))
    np.testing.assert_allclose(model.module.normalize.mean.numpy(), logged.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_registered_size_factors_are_used(pbmc):
    pbmc.obs["depth"] = np.linspace(1, 3, pbmc.n_obs)
    scx.model.Contrastive.setup_anndata(pbmc, size_factor_key="depth")
    model = scx.model.Contrastive(pbmc)
    model.train(1, enable_progress_bar=False)
    counts = pbmc.X.toarray().astype(np.float64)
    logged = np.log1p(counts / pbmc.obs[["depth"]].to_numpy() * 2.0)
    np.testing.assert_allclose(model.module.normalize.mean.numpy(), logged.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_layer_is_used(pbmc):
    pbmc.layers["counts"] = pbmc.X * 2
    pbmc.X = pbmc.X * 0
    scx.model.Contrastive.setup_anndata(pbmc, layer="counts")
    model = scx.model.Contrastive(pbmc)
    model.train(1, enable_progress_bar=False)
    assert model.module.normalize.mean.min() >= 0 < model.module.normalize.mean.max()


def test_unknown_module_argument(pbmc):
    scx.model.Contrastive.setup_anndata(pbmc)
    with pytest.raises(TypeError, match="n_hiden"):
        scx.model.Contrastive(pbmc, n_hiden=3)
