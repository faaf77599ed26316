"""Pairs of cells, and what comes of them where there are batches."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, f1_score
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import BatchSampler, SequentialSampler

import scx
from scx._rng import global_seed
from scx.model._core.pairs import PairBatches


def test_batches_hold_cells_and_then_a_neighbor_of_each():
    neighbors = np.stack([(np.arange(10) + 1) % 10, (np.arange(10) + 2) % 10], axis=1)
    batches = PairBatches(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), neighbors)
    with global_seed(0):
        drawn = [list(batches) for _ in range(50)]
    assert len(batches) == 3
    seen = set()
    for epoch in drawn:
        assert np.concatenate([np.split(batch, 2)[0] for batch in epoch]).tolist() == list(range(10))
        for cells, partners in (np.split(batch, 2) for batch in epoch):
            step = (partners - cells) % 10
            assert np.isin(step, [1, 2]).all()
            seen |= set(step)
    assert seen == {1, 2}  # both neighbours are drawn


PAIRED = pytest.mark.parametrize("method", [scx.tl.contrastive, scx.tl.cicl], ids=lambda method: method.__name__)


def simulated(n_batches, batch_scale, **kwargs):
    return scx.datasets.simulate(
        1200, 500, n_groups=4, n_batches=n_batches, batch_scale=batch_scale, library_loc=8.0, de_scale=0.9, **kwargs
    )


def mixing(embedding, batches):
    """Share of the 15 nearest neighbours that are from another batch, relative to chance."""
    near = NearestNeighbors(n_neighbors=15).fit(embedding).kneighbors(return_distance=False)
    chance = np.mean([np.mean(batches != batch) for batch in batches])
    return (batches[near] != batches[:, None]).mean() / chance


@PAIRED
@pytest.mark.slow
def test_batches_of_one_law_mix_as_chance_does_and_cost_nothing(method):
    adata = simulated(1, 0.1)
    # another seed than that of the simulation, whose order of the cells would be the same
    adata.obs["batch"] = np.random.default_rng(1).permutation(np.repeat(["a", "b"], [800, 400]))
    without = method(adata, 4, key_added="found", copy=True).obs["found"]
    method(adata, 4, batch_key="batch", key_added="found")
    assert abs(mixing(adata.obsm["X_found"], adata.obs["batch"].to_numpy()) - 1) < 0.05
    ari, before = (adjusted_rand_score(adata.obs["group"], found) for found in (adata.obs["found"], without))
    assert before > 0.85
    assert ari > before - 0.01


@PAIRED
@pytest.mark.slow
def test_a_type_of_one_batch_stays_apart_and_others_are_joined(method):
    adata = simulated(2, 0.8)
    group, batch = adata.obs["group"].astype(str), adata.obs["batch"].astype(str)
    only_here = group == group.iloc[0]
    adata = adata[~(only_here & (batch == batch.iloc[0]))].copy()
    group, batch, only_here = (
        np.asarray(values)[~(only_here & (batch == batch.iloc[0]))] for values in (group, batch, only_here)
    )
    without = method(adata, 4, key_added="found", copy=True)
    assert adjusted_rand_score(group, without.obs["found"]) < 0.8
    method(adata, 4, batch_key="batch", key_added="found")
    assert adjusted_rand_score(group, adata.obs["found"]) > 0.9
    share = pd.crosstab(adata.obs["found"], only_here, normalize="index")[True]
    assert f1_score(only_here, adata.obs["found"] == share.idxmax()) > 0.9
    before, after = (mixing(each.obsm["X_found"][~only_here], batch[~only_here]) for each in (without, adata))
    assert before < 0.1
    assert after > 0.3


@PAIRED
def test_new_cells_need_no_batch(method, pbmc, tmp_path):
    """They are embedded alike in a known batch, in an unknown one, and without any."""
    reference, query = pbmc[:200].copy(), pbmc[200:].copy()
    method(reference, 4, batch_key="batch", max_epochs=1, n_top_genes=100, model_dir=tmp_path / "model")
    model = scx.model.load(tmp_path / "model")
    assert model.preparation_.batches.tolist() == ["0", "1", "2"]
    embedding = model.get_latent_representation(query)
    for batches in (None, "new", np.nan):
        query.obs["batch"] = batches
        np.testing.assert_array_equal(model.get_latent_representation(query), embedding)
    del query.obs["batch"]
    np.testing.assert_array_equal(model.get_latent_representation(query), embedding)
    mapped = scx.tl.map_query(query, model, key_added="mapped", copy=True)
    np.testing.assert_allclose(mapped.obsm["X_mapped"], embedding, atol=1e-5)


@PAIRED
def test_a_model_with_batches_goes_on_training_on_them_only(method, pbmc, tmp_path):
    method(pbmc, 4, batch_key="batch", max_epochs=1, n_top_genes=100, model_dir=tmp_path / "model")
    model_cls = type(scx.model.load(tmp_path / "model"))
    pbmc.obs["batch"] = pbmc.obs["batch"].astype(str)
    model = model_cls.load(tmp_path / "model", pbmc)
    assert model.summary_stats.n_batch == 3
    model.train(1, enable_progress_bar=False)
    pbmc.obs["batch"] = "new"
    with pytest.raises(ValueError, match=r"`adata.obs\['batch'\]` must name .* trained on: '0', '1', '2'. To embed"):
        model_cls.load(tmp_path / "model", pbmc)


@pytest.fixture(params=["contrastive", "cicl"])
def trained(request, pbmc):
    """A function that trains a method with its default recipe for few epochs."""
    model_cls = scx._methods.METHODS[request.param].model_cls

    def train(**kwargs):
        model_cls.setup_anndata(pbmc)
        with global_seed(3):
            model = model_cls(pbmc, **kwargs)
            model.train(2, snapshot_epochs=[1, 2], enable_progress_bar=False)
        return model

    return train


def test_components_stand_beside_the_output_of_the_network(trained, pbmc):
    with_them, without = trained(), trained(n_components=0)
    embedding, output = with_them.get_latent_representation(), without.get_latent_representation()
    n_outputs = output.shape[1]
    assert embedding.shape[1] == n_outputs + 20
    # the network is the one that is trained without them, in double precision side by side
    centred = output.astype(np.float64) - output.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(embedding[:, :n_outputs], centred / np.sqrt((centred**2).sum() / len(output)), atol=1e-4)
    x = np.concatenate(list(with_them.expression())).astype(np.float64)
    components = PCA(20, svd_solver="full").fit_transform(x)
    found = embedding[:, n_outputs:] - embedding[:, n_outputs:].mean(axis=0)
    assert (found**2).sum() / len(found) == pytest.approx(1, rel=1e-3)
    expected = components / np.sqrt((components**2).sum() / len(components))
    # up to their signs; the solver is approximate in the last ones
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose((found * signs)[:, :3], expected[:, :3], atol=0.02)
    np.testing.assert_array_equal(with_them.snapshots[2], embedding)


def test_components_do_not_hide_a_network_that_has_collapsed(pbmc, monkeypatch):
    model_cls = scx.model.Contrastive
    monkeypatch.setattr(model_cls._module_cls, "represent", lambda self, x: self.encoder(x).detach() * 0 + 1)
    with pytest.raises(RuntimeError, match=r"NaN|the same embedding"):
        scx.tl.contrastive(pbmc, 3, max_epochs=1)
    assert "X_contrastive" not in pbmc.obsm


def test_with_batches_there_are_no_components(pbmc):
    pbmc.obs["sample"] = np.arange(pbmc.n_obs) % 2
    scx.model.Contrastive.setup_anndata(pbmc, batch_key="sample")
    assert scx.model.Contrastive(pbmc).module.config.n_components == 0
