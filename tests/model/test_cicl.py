"""CICL: its encoder, noise and pseudo-labels against loops written from the article; its losses are in test_losses.py."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

import scx
from batches import batch_of
from scx.model import CICL
from scx.model._cicl import CICLModule
from scx.model._core import losses as _losses


def build(n_genes=12, **kwargs):
    small = {"n_clusters": 3, "n_latent": 6, "n_hidden": 8, "n_projection": (7, 5)}
    return CICLModule(n_genes, replace(CICL.recipes["default"].module, **{**small, **kwargs}))


@pytest.mark.parametrize(("attention", "independent"), [("cell", True), ("batch", False)])
@pytest.mark.parametrize("n_latent", [6, None])
def test_embedding_depends_on_the_batch_only_if_cells_attend_to_each_other(attention, independent, n_latent):
    torch.manual_seed(0)
    encoder = build(attention=attention, n_latent=n_latent).encoder
    x = torch.randn(9, 12)
    together, alone = encoder(x), torch.cat([encoder(x[:2]), encoder(x[2:])])
    assert torch.allclose(together, alone, atol=1e-6) == independent


def test_noise_is_drawn_anew_and_mapped_to_its_range():
    module = build(noise=2.0, mask_rate=0.0)
    x = torch.randn(50, 12)
    first, second = module._view(x) - x, module._view(x) - x
    for noise in (first, second):
        assert noise.min() == pytest.approx(0, abs=1e-5)
        assert noise.max() == pytest.approx(2, abs=1e-5)
    assert not torch.allclose(first, second)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.15


def test_pseudo_labels_are_the_nearest_centroids():
    torch.manual_seed(0)
    module = build(pseudo_labels="epoch")
    x = torch.randn(40, 12)
    h = module.encoder(x).detach()
    module.centroids = module.find_centroids(h)
    assert module.centroids.shape == (3, 6)
    assert torch.equal(module._assign(x), torch.cdist(h, module.centroids).argmin(dim=1))
    module.pseudo_labels = "minibatch"
    torch.manual_seed(1)
    first = module._assign(x)
    torch.manual_seed(1)
    assert torch.equal(module._assign(x), first)


def test_fewer_distinct_cells_than_clusters_leave_no_empty_cluster(recwarn):
    module = build(n_clusters=5)
    h = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert module.find_centroids(h).tolist() == [[0, 0], [1, 0]]
    assert module.find_centroids(h[:1]).tolist() == [[0, 0]]
    assert not recwarn


def test_loss_is_equation_17():
    torch.manual_seed(0)
    module = build(cluster_weight=0.3, pseudo_labels="minibatch", n_neighbors=0)
    batch = batch_of(torch.poisson(torch.full((30, 12), 2.0)))
    parts = module.loss(batch)
    torch.testing.assert_close(parts["loss"], parts["instance_loss"] + 0.3 * parts["cluster_loss"])
    assert set(build(cluster_weight=0.0, n_neighbors=0).loss(batch)) == {"loss"}


def test_view_of_a_neighbour_has_the_pseudo_label_of_the_neighbour():
    torch.manual_seed(0)
    module = build(cluster_weight=1.0, pseudo_labels="epoch", n_neighbors=3, mask_rate=0.0)
    batch = batch_of(torch.poisson(torch.full((30, 12), 2.0)))
    x = module.normalized(batch)
    h = module.encoder(x).detach()
    module.centroids = module.find_centroids(h)
    labels = torch.cdist(h, module.centroids).argmin(dim=1)
    assert (labels[:15] != labels[15:]).any()
    first, second = module.projection(module.encoder(x)).detach().reshape(2, 15, 5)
    expected = _losses.cluster_aware(first, second, labels, module.config.temperature).item()
    assert module.loss(batch)["cluster_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_paper_has_attention_among_cells_in_training_and_embedding(pbmc):
    """Cells are embedded in random batches of the training batch size, the same in every call and whatever chunk they are in."""
    adata = pbmc[:, :40].copy()
    adata = adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()
    CICL.setup_anndata(adata)
    model = CICL(adata, recipe="paper", n_hidden=16, n_projection=(8, 4), n_layers=1)
    assert model.module.config.attention == "batch"
    model.train(1, batch_size=60, enable_progress_bar=False)
    embedding = model.get_latent_representation()
    np.testing.assert_array_equal(model.get_latent_representation(), embedding)

    counts = torch.tensor(adata.X.toarray())
    batches = np.array_split(np.random.default_rng(0).permutation(adata.n_obs), int(np.ceil(adata.n_obs / 60)))
    for batch in batches:
        batch = np.sort(batch)
        expected = model.module.embed(batch_of(counts[batch])).detach().numpy()
        np.testing.assert_allclose(embedding[batch], expected, atol=1e-5)
    alone = model.get_latent_representation(indices=[0, 1, 2])
    assert not np.allclose(alone, embedding[:3], atol=1e-3)
    np.testing.assert_array_equal(model.embed_while_training().numpy(), embedding)


def test_number_of_clusters_is_handed_to_the_model(pbmc, monkeypatch):
    asked = []
    original = CICLModule.__init__

    @functools.wraps(original)
    def spy(self, n_genes, config):
        asked.append(config.n_clusters)
        original(self, n_genes, config)

    monkeypatch.setattr(CICLModule, "__init__", spy)
    for n_clusters, kwargs in ((4, {}), (None, {}), (None, {"model_kwargs": {"n_clusters": 7}})):
        scx.tl.cicl(pbmc, n_clusters, max_epochs=1, **kwargs)
    assert asked == [4, CICL.recipes["default"].module.n_clusters, 7]


def test_centroids_are_renewed_every_epoch(pbmc, monkeypatch):
    seen = []
    original = CICLModule.find_centroids

    def spy(self, h):
        seen.append(len(h))
        return original(self, h)

    monkeypatch.setattr(CICLModule, "find_centroids", spy)
    for pseudo_labels in ("epoch", "minibatch"):
        scx.tl.cicl(pbmc, 4, max_epochs=3, batch_size=100, model_kwargs={"pseudo_labels": pseudo_labels})
    assert seen == [300] * 3 + [200] * 9  # a minibatch of 100 cells and as many neighbours
