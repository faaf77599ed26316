"""A model that ``scx.tl`` saved takes the AnnData it came from, and any other cells, as they are."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch

import scx
from robustness.identical import assert_identical, frozen
from scx.model._core.preparation import Preparation

KWARGS = {"max_epochs": 1, "batch_size": 100, "n_top_genes": 60}


@pytest.fixture
def adata(pbmc):
    """Counts in a layer, logarithms in ``X``."""
    pbmc.layers["counts"] = pbmc.X.copy()
    sc.pp.normalize_total(pbmc)
    sc.pp.log1p(pbmc)
    return pbmc


def test_saved_model_loads_onto_the_data_it_came_from(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    embedding = adata.obsm[f"X_{method.name}"]
    before = frozen(adata)
    model = method.model_cls.load(tmp_path / "model", adata)
    np.testing.assert_array_equal(model.get_latent_representation(), embedding)
    model.train(1, batch_size=100, enable_progress_bar=False)
    assert_identical(adata, before)


def test_any_cells_are_prepared_as_those_of_training(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    embedding = adata.obsm[f"X_{method.name}"]
    model = method.model_cls.load(tmp_path / "model", adata=False)
    np.testing.assert_array_equal(model.get_latent_representation(adata), embedding)
    shuffled = adata[::-1, ::-1].copy()
    shuffled.layers["counts"] = shuffled.layers["counts"].tocsc()
    np.testing.assert_allclose(model.get_latent_representation(shuffled), embedding[::-1], atol=1e-5)


def test_prepare_shows_what_the_model_sees(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    model = method.model_cls.load(tmp_path / "model", adata=False)
    before = frozen(adata)
    prepared = model.prepare(adata)
    assert_identical(adata, before)
    assert prepared.shape == (adata.n_obs, 60)
    counts = adata[:, prepared.var_names].layers["counts"]
    np.testing.assert_array_equal(prepared.layers["counts"].toarray(), counts.toarray())
    totals = adata.layers["counts"].toarray().sum(axis=1)
    np.testing.assert_allclose(prepared.obs[model.preparation_.size_factor_key], totals)
    assert model.prepare(prepared) is prepared
    np.testing.assert_array_equal(model.get_latent_representation(prepared), model.get_latent_representation(adata))


def test_size_factors_from_fewer_genes_are_corrected_by_the_share_of_the_others(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    model = scx.model.load(tmp_path / "model")
    fewer = adata[:, adata.var_names.isin(model.get_var_names())].copy()
    counts = adata.layers["counts"]
    n_counted = int((counts.getnnz(axis=0) >= 1).sum())
    share = fewer.layers["counts"].sum() / counts.sum()
    with pytest.warns(
        UserWarning, match=rf"{n_counted - 60} of the {n_counted} genes.*had {1 - share:.1%} of the counts"
    ):
        embedding = model.get_latent_representation(fewer)
    fewer.obs["_scx_size_factor"] = np.asarray(fewer.layers["counts"].sum(axis=1)).ravel() / share
    np.testing.assert_allclose(embedding, model.get_latent_representation(fewer), atol=1e-5)


def test_prepare_query_anndata_gives_any_cells_the_genes_of_the_model(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    model = scx.model.load(tmp_path / "model")
    names = method.model_cls.prepare_query_anndata(adata, tmp_path / "model", return_reference_var_names=True)
    assert names.tolist() == model.get_var_names().tolist()
    before = frozen(adata)
    full = model.prepare_query_anndata(adata, model, inplace=False)
    assert_identical(adata, before)
    np.testing.assert_array_equal(model.get_latent_representation(full), adata.obsm[f"X_{method.name}"])
    query = adata[:, ~adata.var_names.isin(names[[3, 7]])].copy()
    with pytest.warns(UserWarning, match="2 of the .* genes whose counts are the size factors"):
        expected = model.query(query, "counts", None)[np.arange(query.n_obs)].x.numpy()
        assert model.prepare_query_anndata(query, str(tmp_path / "model")) is None
    assert query.var_names.tolist() == names.tolist()
    np.testing.assert_array_equal(query.layers["counts"].toarray(), expected)
    assert np.isfinite(model.get_latent_representation(query)).all()


def test_a_layer_that_is_missing_says_so(method, adata, tmp_path):
    method.function(adata, 3, layer="counts", model_dir=tmp_path / "model", **KWARGS)
    model = method.model_cls.load(tmp_path / "model", adata=False)
    del adata.layers["counts"]
    with pytest.raises(ValueError, match="Unknown `layer`: 'counts'"):
        model.get_latent_representation(adata)


def test_batches_are_numbered_by_their_names():
    genes = np.array(["g0", "g1"])
    preparation = Preparation(genes, batch_key="sample", batches=np.array(["1", "10", "2"]))
    cells = ad.AnnData(np.ones((5, 2), dtype=np.float32), var=pd.DataFrame(index=genes))
    assert preparation.source(cells)[[0, 1]].batch is None
    cells.obs["sample"] = [10, 2, 3, 1, 10]
    batch = preparation.source(cells)[[4, 0, 1, 2, 3]].batch
    assert batch.dtype == torch.int64
    assert batch.tolist() == [1, 1, 2, -1, 0]
    cells.obs["sample"] = pd.Categorical(["10", "2", None, "1", "10"])
    assert preparation.batch_codes(cells).tolist() == [1, 2, -1, 0, 1]
    assert Preparation(genes).source(cells)[[0]].batch is None
    prepared = preparation.apply(cells)
    assert prepared is not cells
    assert preparation.apply(prepared) is prepared
