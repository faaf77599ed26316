"""New cells get what they would have got in training, whatever form they come in."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scx
from conftest import CASES_WITH_FIELDS
from robustness.identical import assert_identical, frozen
from scx._clustering import outliers
from scx._workflow.keys import Keys

N_REFERENCE = 200


@pytest.fixture(scope="module", params=CASES_WITH_FIELDS, ids=str)
def trained(request, _pbmc, tmp_path_factory):
    """A method, its reference with results, and the folder of its model."""
    reference = _pbmc[:N_REFERENCE].copy()
    folder = tmp_path_factory.mktemp("model") / "model"
    request.param.run(reference, model_dir=folder, key_added="k")
    return request.param, reference, folder


@pytest.fixture(scope="module")
def model(trained):
    return scx.model.load(trained[2])


@pytest.fixture
def query(pbmc):
    return pbmc[N_REFERENCE:].copy()


def mapped(adata, model, **kwargs):
    return scx.tl.map_query(adata, model, key_added="k", copy=True, **kwargs)


def assert_same_result(first, second, atol=1e-5):
    np.testing.assert_allclose(first.obsm["X_k"], second.obsm["X_k"], atol=atol)
    for name in ("k_confidence", "k_outlier", "k_outlier_score"):
        np.testing.assert_allclose(first.obs[name], second.obs[name], atol=1e-3)
    for name in ("k", "k_closest"):
        assert list(first.obs[name]) == list(second.obs[name])


def test_cells_of_training_get_their_results_again(trained, model):
    _, reference, folder = trained
    before = frozen(reference)
    for source in (model, folder, str(folder)):
        again = mapped(reference, source)
        np.testing.assert_allclose(again.obsm["X_k"], reference.obsm["X_k"], atol=1e-5)
        assert (again.obs["k_closest"].astype(str) == reference.obs["k"].astype(str)).mean() > 0.9
        assert list(again.obs["k"].cat.categories[: reference.obs["k"].nunique()]) == list(
            reference.obs["k"].cat.categories
        )
        if "k_proba" in reference.obsm:
            np.testing.assert_allclose(again.obsm["k_proba"], reference.obsm["k_proba"], atol=1e-5)
            assert list(again.uns["k"]["types"]) == list(reference.uns["k"]["types"])
    assert_identical(reference, before)


def test_writes_the_documented_fields(trained, model, query, tmp_path):
    before = query.copy()
    assert scx.tl.map_query(query, model) is None
    key = trained[0].name
    keys = Keys(key)
    predicts = "labels_key" in trained[0].fields
    expected = keys.written(confidence=True, prediction=predicts, outliers=True, embedding=True)
    assert_identical(query, frozen(before), ignore=expected)
    assert {name for place, name in expected if place == "obs"} == set(query.obs) - set(before.obs)
    assert query.obs[key].cat.categories[-1] == "Unknown"
    is_unknown = query.obs[key] == "Unknown"
    np.testing.assert_array_equal(is_unknown, query.obs[keys.outlier] < 0.05)
    assert (query.obs[key].astype(str) == query.obs[keys.closest].astype(str))[~is_unknown].all()
    assert query.uns[key]["n_unknown"] == is_unknown.sum()
    assert query.uns[key]["params"]["method"] == "map_query"
    query.write_h5ad(tmp_path / "query.h5ad")
    scx.tl.map_query(query, model)  # its own fields are replaced


@pytest.mark.parametrize("form", ["shuffled", "csc", "dense", "backed", "layer", "gene_key", "view", "integers"])
def test_the_form_of_the_data_does_not_matter(model, query, tmp_path, form):
    expected = mapped(query, model)
    kwargs = {}
    rng = np.random.default_rng(0)
    match form:
        case "shuffled":
            other = ad.AnnData(
                sparse.csr_matrix(rng.poisson(3, (query.n_obs, 20)).astype(np.float32)),
                obs=query.obs,
                var=pd.DataFrame(index=[*(f"other{i}" for i in range(18)), "twice", "twice"]),
            )
            both = ad.concat([query, other], axis="var", merge="first")
            query = both[:, rng.permutation(both.n_vars)].copy()
        case "csc":
            query.X = query.X.tocsc()
        case "dense":
            query.X = query.X.toarray()
        case "integers":
            query.X = query.X.astype(np.int64)
        case "backed":
            query.write_h5ad(tmp_path / "query.h5ad")
            query = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
        case "layer":
            query.layers["raw"] = query.X.copy()
            query.X = query.X.log1p()
            kwargs = {"layer": "raw"}
        case "gene_key":
            query.var["symbol"] = pd.Categorical(query.var_names)
            query.var_names = [f"ENSG{i}" for i in range(query.n_vars)]
            kwargs = {"gene_key": "symbol"}
        case "view":
            query = ad.concat([query, query], index_unique="-", merge="same")[: query.n_obs]
    assert_same_result(mapped(query, model, **kwargs), expected)
    if form == "backed":
        query.file.close()


def test_a_cell_depends_on_no_other(model, query):
    expected = mapped(query, model)
    for cell in (0, 57):
        assert_same_result(mapped(query[[cell]].copy(), model), expected[[cell]])


def test_missing_genes_are_those_of_the_average_cell(model, query):
    """The counts that the average cell would have had, at the depth of each cell, written in by hand."""
    genes = model.preparation_.genes
    gone = genes[np.random.default_rng(0).permutation(len(genes))[: len(genes) // 10]]
    normalize = model.module.normalize
    full = query.copy()
    totals = np.asarray(query.X.sum(axis=1)).ravel()
    share = pd.Series(model.preparation_.size_factor_shares, model.preparation_.size_factor_genes)[gone].sum()
    without = query[:, ~query.var_names.isin(gone)].copy()
    depth = np.asarray(without.X.sum(axis=1)).ravel() / (1 - share)
    assert abs(np.median(depth / totals) - 1) < 0.05
    average = pd.Series(np.expm1(normalize.mean.numpy()) / float(normalize.median), genes)
    filled = full.X.toarray()
    for gene in gone:
        filled[:, query.var_names.get_loc(gene)] = average[gene] * depth
    full.X = filled
    full.obs["_scx_size_factor"] = depth
    variance = pd.Series(normalize.std.numpy() ** 2, genes)
    percent = f"{variance[gone].sum() / variance.sum():.1%}"
    with (
        pytest.warns(UserWarning, match=rf"^{len(gone)} of the {len(genes)} genes of the model.*{percent} of the var"),
        pytest.warns(UserWarning, match=rf"size factors.*had {share:.1%} of the counts in training"),
    ):
        result = mapped(without, model)
    np.testing.assert_allclose(result.obsm["X_k"], model.get_latent_representation(full), atol=5e-3)
    assert result.uns["k"]["params"]["n_genes_missing"] == len(gone)


def test_too_many_missing_genes_are_an_error(model, query):
    genes = model.preparation_.genes
    few = query[:, ~query.var_names.isin(genes[: len(genes) // 5 + 1])].copy()
    before = frozen(few)
    with pytest.raises(ValueError, match=r"21 of the 100 genes of the model.*At most 20% can be filled"):
        scx.tl.map_query(few, model)
    few.var["id"] = "none"
    with pytest.raises(ValueError, match=r"100 of the 100 genes .* `adata.var\['id'\]` \(`gene_key`\).*same kind"):
        scx.tl.map_query(few, model, gene_key="id")
    del few.var["id"]
    assert_identical(few, before)


def test_cells_unlike_any_other_are_unknown_and_keep_their_closest_cluster(model, query):
    rng = np.random.default_rng(0)
    strange = query.copy()
    strange.X = sparse.csr_matrix(rng.permuted(query.X.toarray(), axis=1))  # the same depths, of other genes
    with pytest.warns(UserWarning, match=r"of the cells are unlike the cells of training. Another tissue"):
        result = mapped(strange, model)
    assert (result.obs["k"] == "Unknown").mean() > 0.7
    assert (result.obs["k_closest"] != "Unknown").all()
    kept = mapped(strange, model, outlier_alpha=0)
    assert (kept.obs["k"] != "Unknown").all()
    assert list(kept.obs["k"]) == list(result.obs["k_closest"])
    assert (mapped(query, model).obs["k"] == "Unknown").mean() < 0.3


def test_results_are_labels_of_the_next_training(trained, model, query):
    result = mapped(query, model, outlier_alpha=0.3)
    assert (result.obs["k"] == "Unknown").any()
    scx.tl.semiaae(result, labels_key="k", max_epochs=1, n_top_genes=50)
    assert "Unknown" not in result.uns["semiaae"]["types"]


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_values_that_cannot_be_counts(model, query, value):
    query.X[3, 5] = value
    before = list(query.obs)
    with pytest.raises(ValueError, match=r"`adata.X` holds"):
        scx.tl.map_query(query, model)
    query.X[3, 5] = 0
    query.X = query.X.log1p()
    with pytest.raises(ValueError, match=r"`adata.X` looks log-transformed"):
        scx.tl.map_query(query, model)
    query.X = sparse.csr_matrix(query.X.multiply(np.arange(query.n_obs)[:, None] > 0)).expm1()
    query.X.data = np.round(query.X.data)
    with pytest.raises(ValueError, match=r"1 of 100 cells have no counts"):
        scx.tl.map_query(query, model)
    assert list(query.obs) == before


def test_one_cell_of_fractional_counts_is_not_taken_for_normalised(model, query):
    one = query[[4]].copy()
    one.X = one.X * 1.37
    with pytest.warns(UserWarning, match="fractional values"):
        scx.tl.map_query(one, model)


def refused(pbmc, **kwargs):
    model_cls = scx.model.CICL
    model_cls.setup_anndata(pbmc)
    return model_cls(pbmc, **kwargs)


def test_models_that_cannot_map(pbmc):
    before = frozen(pbmc)
    untrained = refused(pbmc.copy())
    with pytest.raises(ValueError, match=r"`model` is not trained"):
        scx.tl.map_query(pbmc, untrained)
    alone = refused(pbmc.copy())
    alone.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match=r"`model` has no clusters.*`model_dir`"):
        scx.tl.map_query(pbmc, alone)
    together = refused(pbmc.copy(), attention="batch")
    together.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match=r"attention=\"batch\".*depends on the cells that it is embedded with"):
        scx.tl.map_query(pbmc, together)
    for wrong in (None, 3, scx.model.CICL):
        with pytest.raises(TypeError, match=r"`model` must be a model of `scx.model`, or the path"):
            scx.tl.map_query(pbmc, wrong)
    assert_identical(pbmc, before)


def test_large_references_keep_a_sample(pbmc, tmp_path, monkeypatch):
    monkeypatch.setattr(outliers, "MAX_CELLS", 50)
    scx.tl.contrastive(pbmc, 3, max_epochs=1, n_top_genes=60, model_dir=tmp_path / "model")
    model = scx.model.load(tmp_path / "model")
    assert model.reference_.outliers.embedded.points.shape == (50, 80)
    assert len(model.reference_.outliers.held_back) == 50
    scx.tl.map_query(pbmc, model)
    np.testing.assert_allclose(pbmc.obsm["X_contrastive"], model.get_latent_representation(pbmc), atol=1e-5)
