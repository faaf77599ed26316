"""Fidelity to the paper, and the quality that a user gets on real data."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import nn

import scx
from batches import batch_of
from scx._rng import global_seed


def paper_model(pbmc, n_genes=500):
    adata = pbmc[:, :n_genes].copy()
    scx.model.Contrastive.setup_anndata(adata)
    return scx.model.Contrastive(adata, recipe="paper")


def test_paper_number_of_parameters(pbmc):
    """The paper counts 111,180 trainable parameters at 500 genes."""
    model = paper_model(pbmc)
    assert sum(p.numel() for p in model.module.parameters() if p.requires_grad) == 111_180


def test_paper_architecture(pbmc):
    encoder = paper_model(pbmc).module.encoder
    assert [type(layer) for layer in encoder] == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear]
    assert [layer.out_features for layer in encoder if isinstance(layer, nn.Linear)] == [200, 40, 60]
    weight = encoder[0].weight
    assert weight.abs().max() <= np.sqrt(6 / 700)  # Xavier's bound
    assert abs(weight.std().item() - np.sqrt(2 / 700)) < 1e-3


def test_paper_settings():
    recipe = scx.model.Contrastive.recipes["paper"]
    assert (recipe.n_top_genes, recipe.min_cells) == (500, 2)
    assert recipe.module.mask_rate == 0.9
    assert recipe.module.temperature == 0.07
    assert recipe.module.max_value is None
    training = {"max_epochs": 30, "batch_size": 200, "lr": 0.4, "schedule": "cosine"}
    others = {"min_steps": 0, "weight_decay": 0.0, "schedule_epochs": None, "settle_batch_norm": False}
    assert asdict(recipe.training) == training | others


def test_views_mask_nine_in_ten_genes_independently(pbmc, monkeypatch):
    model = paper_model(pbmc)
    model.module.train()
    seen = []
    forward = model.module.encoder.forward
    monkeypatch.setattr(model.module.encoder, "forward", lambda x: seen.append(x.detach()) or forward(x))
    x = torch.tensor(pbmc.X[:200, :500].toarray()) + 1
    with global_seed(0):
        model.module.loss(batch_of(x))
    first, second = (view != 0 for view in seen[0].chunk(2))
    assert abs(first.float().mean() - 0.1) < 0.005
    assert abs((first & second).float().mean() - 0.01) < 0.002
    normalized = model.module.normalized(batch_of(x))
    kept = torch.where(first, seen[0][:200], 0)
    torch.testing.assert_close(kept, torch.where(first, normalized * 10, 0), rtol=1e-4, atol=1e-4)


def test_embedding_has_unit_length_and_no_noise(pbmc):
    model = paper_model(pbmc)
    model.train(1, enable_progress_bar=False)
    embedding = model.get_latent_representation()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.get_latent_representation(), embedding)


@pytest.mark.slow
def test_real_cells_are_told_apart(real_data):
    """Well under what the benchmark shows on these data (0.80), far over chance."""
    adata = real_data("pbmc4k")
    scx.tl.contrastive(adata, n_clusters=8)
    assert adjusted_rand_score(adata.obs["cell_type"], adata.obs["contrastive"]) > 0.7


@pytest.mark.slow
def test_embedding_of_real_cells_knows_their_types():
    adata = scx.datasets.pbmc68k_reduced()
    scx.tl.contrastive(adata, n_clusters=10)
    assert adjusted_rand_score(adata.obs["bulk_labels"], adata.obs["contrastive"]) > 0.4
