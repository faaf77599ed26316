"""New cells: genes by name, values that can be counts, and nothing of the user's changed."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scx
from conftest import CASES, field_arguments
from robustness.identical import assert_identical, frozen
from scx._rng import global_seed

N_CELLS = 120


@pytest.fixture(scope="module", params=CASES, ids=str)
def fitted(request, _pbmc, tmp_path_factory):
    """A model trained on the first 60 genes with counts, by a registered depth; its folder; and a function that gives cells."""
    counts = _pbmc[:N_CELLS, _pbmc.X.getnnz(axis=0) > 30][:, :60].copy()
    counts.obs = pd.DataFrame({"depth": np.linspace(100, 300, N_CELLS)}, index=counts.obs_names)
    counts.obs["some_labels"] = np.where(np.arange(N_CELLS) % 3, "", np.where(np.arange(N_CELLS) % 2, "a", "b"))
    cls = request.param.model_cls
    training = counts.copy()
    cls.setup_anndata(training, size_factor_key="depth", **field_arguments(request.param.method))
    with global_seed(0):
        model = cls(training)
        model.train(1, batch_size=60, enable_progress_bar=False)
    folder = tmp_path_factory.mktemp("model") / "model"
    model.save(folder)
    return model, folder, counts


def outputs(model, adata=None, **kwargs):
    """Return everything that a model says of cells, by name; what is drawn at random from one seed."""
    import torch

    said = {"latent": model.get_latent_representation(adata, **kwargs)}
    if hasattr(model, "predict"):
        said |= {"predict": model.predict(adata, **kwargs), "proba": model.predict(adata, soft=True, **kwargs)}
    if hasattr(model, "get_elbo"):
        torch.manual_seed(0)
        said["elbo"] = model.get_elbo(adata, **kwargs)
        said["expression"] = model.get_normalized_expression(adata, **kwargs)
    return said


def assert_same(first, second, atol=0.0):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, second[name], rtol=0, atol=atol)
        elif name == "predict":
            np.testing.assert_array_equal(value, second[name])
        else:
            np.testing.assert_allclose(value, second[name], rtol=0, atol=atol)


def with_others(adata, seed=0):
    """Return the cells with further genes among those of `adata`, all in another order."""
    rng = np.random.default_rng(seed)
    others = ad.AnnData(
        sparse.csr_matrix(rng.poisson(3, (adata.n_obs, 20)).astype(np.float32)),
        obs=adata.obs,
        var=pd.DataFrame(index=[*(f"other{i}" for i in range(18)), "twice", "twice"]),
    )
    both = ad.concat([adata, others], axis="var", merge="first")
    return both[:, rng.permutation(both.n_vars)].copy()


@pytest.mark.parametrize("storage", ["csr", "csc", "dense", "view", "backed"])
def test_genes_are_matched_by_name(fitted, storage, tmp_path):
    model, _, counts = fitted
    query = with_others(counts)
    match storage:
        case "csc":
            query.X = query.X.tocsc()
        case "dense":
            query.X = query.X.toarray()
        case "view":
            query = with_others(ad.concat([counts, counts], index_unique="-", merge="first"))[:N_CELLS]
            counts = counts.copy()
            counts.obs_names = query.obs_names
        case "backed":
            query.write_h5ad(tmp_path / "query.h5ad")
            query = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    before = frozen(query)
    said = outputs(model, query)
    assert_identical(query, before)
    assert_same(said, outputs(model, counts))
    if storage == "backed":
        query.file.close()


def test_own_data_and_the_same_cells_anew_say_the_same(fitted):
    model, _, counts = fitted
    assert_same(outputs(model), outputs(model, counts))
    assert_same(outputs(model, indices=[5, 3]), outputs(model, with_others(counts), indices=[5, 3]))
    some = model.get_latent_representation(with_others(counts), indices=[5, 3])
    np.testing.assert_allclose(some, model.get_latent_representation()[[5, 3]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("with_data", [True, False])
def test_genes_are_matched_by_name_after_loading(fitted, with_data):
    model, folder, counts = fitted
    shuffled = with_others(counts)
    before = frozen(shuffled)
    loaded = type(model).load(folder, adata=shuffled if with_data else False)
    assert_same(outputs(loaded, shuffled), outputs(model))
    if with_data:
        assert_same(outputs(loaded), outputs(model))
        loaded.train(1, batch_size=60, enable_progress_bar=False)
    else:
        with pytest.raises(ValueError, match="loaded without data: pass `adata`"):
            loaded.get_latent_representation()
    assert_identical(shuffled, before)


def test_missing_genes_are_listed(fitted):
    model, folder, counts = fitted
    names = counts.var_names[[3, 7]].tolist()
    fewer = counts[:, ~counts.var_names.isin(names)].copy()
    listed = ", ".join(map(repr, names))
    for call in (model.get_latent_representation, lambda adata: type(model).load(folder, adata)):
        with pytest.raises(
            ValueError, match=rf"2 of the 60 genes of the model are not in `adata.var_names`: {listed}\."
        ):
            call(fewer)
    with pytest.raises(ValueError, match=r"40 of the 60 genes.*, …"):
        model.get_latent_representation(counts[:, :20].copy())
    counts = counts.copy()
    counts.var_names = [f"ENSG{i}" for i in range(60)]
    with pytest.raises(ValueError, match=r"60 of the 60 genes.*names such as 'ENSG0'.*same kind"):
        model.get_latent_representation(counts)


def test_genes_that_are_there_twice(fitted):
    model, _, counts = fitted
    twice = ad.concat([counts, counts[:, [4]]], axis="var", merge="first")
    with pytest.raises(ValueError, match=f"more than once: '{counts.var_names[4]}'. Keep one"):
        model.get_latent_representation(twice)


def test_model_of_genes_of_one_name(method, pbmc):
    pbmc.var_names = ["same", "same", *pbmc.var_names[2:]]
    method.model_cls.setup_anndata(pbmc)
    model = method.model_cls(pbmc)
    model.train(1, enable_progress_bar=False)
    np.testing.assert_array_equal(model.get_latent_representation(pbmc.copy()), model.get_latent_representation())
    with pytest.raises(ValueError, match=r"genes with the same name \('same'\).*`adata.var_names_make_unique\(\)`"):
        model.get_latent_representation(pbmc[:, ::-1].copy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_of_new_cells_that_cannot_be_counts(fitted, value):
    model, _, counts = fitted
    query = counts.copy()
    query.X[7, 3] = value
    with pytest.raises(ValueError, match=r"`adata.X` holds (1 values that are NaN or infinite|negative values)"):
        model.get_latent_representation(query)
    clean = model.get_latent_representation(query, indices=[3, 4])
    np.testing.assert_allclose(clean, model.get_latent_representation(indices=[3, 4]), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_size_factors_that_cannot_be(fitted, value):
    model, _, counts = fitted
    query = counts.copy()
    query.obs.iloc[5, query.obs.columns.get_loc("depth")] = value
    with pytest.raises(ValueError, match=r"`adata.obs\['depth'\]`.*1 of 120 are missing, infinite or negative"):
        model.get_latent_representation(query)
    with pytest.raises(ValueError, match=r"`adata.obs\['depth'\]`.*1 of 120"):
        type(model).setup_anndata(query, size_factor_key="depth")
    del query.obs["depth"]
    with pytest.raises(ValueError, match=r"`adata.obs` lacks 'depth', the size factor.*Add this column"):
        model.get_latent_representation(query)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_models_do_not_train_on_values_that_cannot_be_counts(method, pbmc, value):
    pbmc.X.data[5] = value
    method.model_cls.setup_anndata(pbmc)
    with pytest.raises(ValueError, match=r"`adata.X` holds"):
        method.model_cls(pbmc).train(1)


def test_values_that_are_no_counts_may_be_negative(pbmc):
    pbmc.X = np.random.default_rng(0).normal(size=pbmc.shape).astype(np.float32)
    scx.model.InfoVAE.setup_anndata(pbmc)
    model = scx.model.InfoVAE(pbmc, likelihood="gaussian")
    model.train(1, enable_progress_bar=False)
    query = pbmc[:, ::-1].copy()
    np.testing.assert_array_equal(model.get_latent_representation(query), model.get_latent_representation())
    query.X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.get_latent_representation(query)


@pytest.mark.parametrize("indices", [[], [120], [-121], [0.5], [[0, 1]], np.ones(119, dtype=bool)])
def test_indices_that_name_no_cells(fitted, indices):
    model, _, _ = fitted
    with pytest.raises((TypeError, ValueError), match="`indices`"):
        model.get_latent_representation(indices=indices)
