"""What every method promises, whatever it computes."""

import gc
import inspect
import pickle
import subprocess
import sys
import weakref

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from scipy import sparse

import scx
from conftest import CASES, CASES_WITH_BATCHES, EVERY_CASE, usable

pytestmark = pytest.mark.slow


@pytest.fixture(params=EVERY_CASE, ids=str)
def method(request):
    return usable(request.param)


def new_names(after: ad.AnnData, before: ad.AnnData) -> dict[str, set[str]]:
    """Return what was added, by the attribute of the AnnData that holds it."""
    return {where: set(getattr(after, where)) - set(getattr(before, where)) for where in ("obs", "obsm", "uns")}


def assert_same_result(first: ad.AnnData, second: ad.AnnData, key: str) -> None:
    """Bit-equal embedding, clusters, confidence and predictions."""
    assert set(first.obsm) == set(second.obsm)
    if f"{key}_proba" in first.obsm:
        np.testing.assert_array_equal(first.obsm[f"{key}_proba"], second.obsm[f"{key}_proba"])
    np.testing.assert_array_equal(first.obsm[f"X_{key}"], second.obsm[f"X_{key}"])
    assert first.obs[key].astype(str).tolist() == second.obs[key].astype(str).tolist()
    np.testing.assert_array_equal(first.obs[f"{key}_confidence"], second.obs[f"{key}_confidence"])


def assert_untouched(after: ad.AnnData, before: ad.AnnData) -> None:
    """Nothing differs but what the contract lets a call add; `before` was copied beforehand."""
    for where in ("obs", "var"):
        pd.testing.assert_frame_equal(getattr(after, where)[getattr(before, where).columns], getattr(before, where))
    assert type(after.X) is type(before.X)
    assert after.X.dtype == before.X.dtype
    dense = [m.X.toarray() if sparse.issparse(m.X) else np.asarray(m.X) for m in (after, before)]
    np.testing.assert_array_equal(*dense)
    assert after.var_names.equals(before.var_names)
    assert set(after.layers) == set(before.layers)


@pytest.mark.parametrize("name", scx.tl.__all__)
def test_signature(name):
    function = getattr(scx.tl, name)
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters[0].name == "adata"
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 3
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[len(positional) :])
    by_name = {p.name: p for p in parameters}
    assert by_name["copy"].kind is inspect.Parameter.KEYWORD_ONLY
    assert by_name["copy"].default is False
    assert by_name["key_added"].default == (None if name == "map_query" else name)  # that of the model's method
    assert all(p.annotation is not p.empty for p in parameters)
    documented = inspect.getdoc(function)
    assert all(
        f"\n{p.name}\n" in documented or f"{p.name}, " in documented or f", {p.name}\n" in documented
        for p in parameters
    )
    assert not any(f"{{{name}}}" in documented for name in ("parameters", "returns", "raises"))


def test_methods_share_one_signature(method):
    reference = inspect.signature(scx.tl.contrastive).parameters
    parameters = inspect.signature(method.function).parameters
    for name, parameter in reference.items():
        if name != "key_added":
            assert parameters[name] == parameter


def test_writes_the_documented_fields(method, pbmc):
    before = pbmc.copy()
    assert method.run(pbmc) is None
    key = method.name
    assert isinstance(pbmc.obs[key].dtype, pd.CategoricalDtype)
    assert pbmc.obs[key].notna().all()
    confidence = pbmc.obs[f"{key}_confidence"]
    assert confidence.dtype == np.float32
    assert confidence.between(0, 1).all()
    assert confidence.nunique() > 10
    embedding = pbmc.obsm[f"X_{key}"]
    assert embedding.dtype == np.float32
    settings = method.model_cls.recipes["default"].settings()
    n_components = 0 if "batch_key" in method.fields else settings.get("n_components", 0)
    assert embedding.shape == (pbmc.n_obs, settings["n_latent"] + n_components)
    assert np.isfinite(embedding).all()
    record = pbmc.uns[key]
    assert record["n_clusters"]["chosen"] == pbmc.obs[key].nunique()
    assert record["scx_version"] == scx.__version__
    assert record["params"]["recipe"] == "default"
    assert len(record["history"]["loss"]) == method.quick["max_epochs"]
    assert np.isfinite(record["history"]["loss"]).all()
    assert new_names(pbmc, before) == method.written(key)
    assert_untouched(pbmc, before)


@pytest.mark.parametrize("method", CASES, ids=str)
def test_clusters_are_as_many_as_asked_for_and_numbered_by_size(method, pbmc):
    method.run(pbmc, 4)
    clusters = pbmc.obs[method.name]
    assert list(clusters.cat.categories) == ["0", "1", "2", "3"]
    sizes = clusters.value_counts()[clusters.cat.categories]
    assert (np.diff(sizes) <= 0).all()
    assert pbmc.uns[method.name]["n_clusters"] == {"asked": 4, "chosen": 4, "reason": "given"}


def test_copy_returns_the_annotated_copy(method, pbmc):
    before = pbmc.copy()
    annotated = method.run(pbmc, copy=True)
    assert list(pbmc.obs) == list(before.obs)
    assert list(pbmc.obsm) == list(before.obsm)
    assert list(pbmc.uns) == list(before.uns)
    method.run(pbmc)
    assert_same_result(annotated, pbmc, method.name)


def test_key_added_names_everything(method, pbmc):
    before = pbmc.copy()
    method.run(pbmc, key_added="mine")
    assert new_names(pbmc, before) == method.written("mine")


@pytest.mark.parametrize("method", CASES, ids=str)
def test_runs_again_under_its_own_key(method, pbmc):
    method.run(pbmc, 4)
    method.run(pbmc, 3)
    assert pbmc.obs[method.name].nunique() == 3
    assert pbmc.uns[method.name]["n_clusters"]["chosen"] == 3


@pytest.mark.parametrize("kind", ["dense", "csc", "integers", "float64", "unsorted", "array", "stored zeros"])
def test_result_does_not_depend_on_storage(method, pbmc, kind):
    other = pbmc.copy()
    match kind:
        case "dense":
            other.X = pbmc.X.toarray()
        case "csc":
            other.X = pbmc.X.tocsc()
        case "integers":
            other.X = pbmc.X.astype(np.int64)
        case "float64":
            other.X = pbmc.X.astype(np.float64)
        case "array":
            other.X = sparse.csr_array(pbmc.X)
        case "unsorted":  # every row of the matrix back to front
            matrix = pbmc.X.copy()
            order = np.concatenate(
                [np.arange(b - 1, a - 1, -1) for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)]
            )
            other.X = sparse.csr_matrix((matrix.data[order], matrix.indices[order], matrix.indptr), matrix.shape)
        case "stored zeros":
            full = sparse.csr_matrix(np.ones(pbmc.shape, dtype=np.float32))
            full.data = pbmc.X.toarray().ravel()
            other.X = full
    before = other.copy()
    method.run(pbmc)
    method.run(other)
    assert_same_result(pbmc, other, method.name)
    assert_untouched(other, before)


@pytest.mark.parametrize("case", CASES_WITH_BATCHES, ids=str)
def test_result_does_not_depend_on_how_batches_are_stored(case, pbmc):
    method = usable(case)
    key = method.name
    numbers = pbmc.obs["batch"].to_numpy() + 9
    found = []
    for column in (
        numbers,
        numbers.astype(str),
        pd.Categorical(numbers.astype(float), categories=[8.0, 10.0, 11.0, 9.0]),
    ):
        pbmc.obs["batch"] = column
        found.append(method.run(pbmc, copy=True))
    for other in found[1:]:
        assert_same_result(found[0], other, key)
    assert found[0].uns[key]["params"]["batch_key"] == "batch"
    without = method.run(pbmc, batch_key=None, copy=True)
    assert not np.array_equal(without.obsm[f"X_{key}"], found[0].obsm[f"X_{key}"])
    assert "batch_key" not in without.uns[key]["params"]


def test_a_method_that_does_not_know_batches_says_so(pbmc, monkeypatch):
    monkeypatch.setattr(scx.model.Contrastive, "knows_batches", False)
    before = list(pbmc.obs)
    for call in (scx.tl.contrastive, scx.model.Contrastive.setup_anndata):
        with pytest.raises(ValueError, match="`batch_key='batch'` cannot be used: Contrastive does not know batches"):
            call(pbmc, batch_key="batch")
    assert list(pbmc.obs) == before


def test_layer_is_used_in_place_of_x(method, pbmc):
    other = pbmc.copy()
    other.layers["counts"] = other.X.copy()
    sc.pp.normalize_total(other)
    sc.pp.log1p(other)
    before = other.copy()
    method.run(pbmc)
    method.run(other, layer="counts")
    assert_same_result(pbmc, other, method.name)
    assert_untouched(other, before)


def test_view_copy_and_subset_are_the_same_cells(method, pbmc):
    method.run(pbmc)  # a model was set up on the parent before
    view = pbmc[50:250]
    subset = view.copy()
    original = pbmc.copy()
    annotated = method.run(view, copy=True, key_added="again")
    method.run(subset, key_added="again")
    assert_same_result(annotated, subset, "again")
    assert view.is_view
    assert "again" not in pbmc.obs
    assert_untouched(pbmc, original)


def test_writes_to_a_view_as_scanpy_does(method, pbmc):
    view = pbmc[50:250]
    with pytest.warns(ad.ImplicitModificationWarning):
        method.run(view)
    assert view.obs[method.name].notna().all()
    assert method.name not in pbmc.obs


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_backed(method, pbmc, tmp_path, storage):
    stored = pbmc.copy()
    stored.X = {"csr": pbmc.X, "csc": pbmc.X.tocsc(), "dense": pbmc.X.toarray()}[storage]
    stored.write_h5ad(tmp_path / "backed.h5ad")
    backed = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    annotated = method.run(backed, copy=True)
    method.run(backed)
    method.run(pbmc)
    assert backed.isbacked
    assert_same_result(backed, pbmc, method.name)
    assert_same_result(annotated, pbmc, method.name)
    backed.file.close()


def test_same_seed_same_result_in_one_process(method, pbmc):
    first, second, third = pbmc.copy(), pbmc.copy(), pbmc.copy()
    method.run(first, rng=7)
    np.random.random(5)  # noqa: NPY002
    torch.rand(5)
    method.run(second, rng=7)
    method.run(third, rng=8)
    assert_same_result(first, second, method.name)
    assert not np.array_equal(first.obsm[f"X_{method.name}"], third.obsm[f"X_{method.name}"])


def test_generator_moves_on(method, pbmc):
    generator = np.random.default_rng(7)
    first, second = pbmc.copy(), pbmc.copy()
    method.run(first, rng=generator)
    method.run(second, rng=generator)
    assert not np.array_equal(first.obsm[f"X_{method.name}"], second.obsm[f"X_{method.name}"])
    method.run(pbmc, rng=np.random.default_rng(7))
    assert_same_result(first, pbmc, method.name)


@pytest.mark.slow
def test_same_seed_same_result_in_another_process(method, pbmc, tmp_path):
    pbmc.write_h5ad(tmp_path / "in.h5ad")
    script = (
        "import sys, anndata as ad, scx\n"
        "folder, name = sys.argv[1:]\n"
        "adata = ad.read_h5ad(f'{folder}/in.h5ad')\n"
        f"getattr(scx.tl, name)(adata, {method.n_clusters}, **{method.quick | method.fields!r})\n"
        "adata.write_h5ad(f'{folder}/out.h5ad')\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path, method.name], check=True, capture_output=True)
    method.run(pbmc)
    assert_same_result(ad.read_h5ad(tmp_path / "out.h5ad"), pbmc, method.name)


def test_global_random_state_is_left_alone(method, pbmc):
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    numpy_before, torch_before = pickle.dumps(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    method.run(pbmc)
    assert pickle.dumps(np.random.get_state()) == numpy_before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_annotated_object_is_written_and_read(method, pbmc, tmp_path, form):
    method.run(pbmc, model_dir=tmp_path / "model", model_kwargs={}, train_kwargs={"plan_kwargs": {}})
    path = tmp_path / f"annotated.{form}"
    getattr(pbmc, f"write_{form}")(path)
    back = getattr(ad, f"read_{form}")(path)
    assert_same_result(pbmc, back, method.name)
    assert list(back.obs[method.name].cat.categories) == list(pbmc.obs[method.name].cat.categories)
    record, before = back.uns[method.name], pbmc.uns[method.name]
    assert record["params"].keys() == before["params"].keys()
    np.testing.assert_array_equal(record["history"]["loss"], before["history"]["loss"])


def test_saved_model_gives_the_bit_equal_embedding(method, pbmc, tmp_path):
    sc.pp.filter_genes(pbmc, min_cells=1)
    method.run(pbmc, mask_var=None, n_top_genes=None, model_dir=tmp_path / "model")
    fresh = pbmc.copy()
    model = method.model_cls.load(tmp_path / "model", fresh)
    embedding = pbmc.obsm[f"X_{method.name}"]
    np.testing.assert_array_equal(model.get_latent_representation(), embedding)
    # and without the data it was trained on, any cells in any order
    model = method.model_cls.load(tmp_path / "model", adata=False)
    query = fresh[[5, 3, 250]].copy()
    np.testing.assert_allclose(model.get_latent_representation(query), embedding[[5, 3, 250]], atol=1e-5)


def test_model_survives_copies_of_the_data(method, pbmc):
    method.model_cls.setup_anndata(pbmc, **method.fields)
    model = method.model_cls(pbmc)
    model.train(1, enable_progress_bar=False)
    embedding = model.get_latent_representation()
    np.testing.assert_allclose(model.get_latent_representation(pbmc.copy()), embedding, atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(pbmc[100:110].copy()), embedding[100:110], atol=1e-5)
    assert list(model.history["loss"].columns) == ["loss"]


def test_untrained_model_says_so(method, pbmc):
    method.model_cls.setup_anndata(pbmc, **method.fields)
    with pytest.raises(RuntimeError, match="train"):
        method.model_cls(pbmc).get_latent_representation()


def test_indices_are_returned_in_the_order_asked_for(method, pbmc, tmp_path):
    method.model_cls.setup_anndata(pbmc, **method.fields)
    model = method.model_cls(pbmc)
    model.train(1, enable_progress_bar=False)
    everything = model.get_latent_representation()
    asked = [7, 250, 3, 7]
    np.testing.assert_allclose(model.get_latent_representation(indices=asked), everything[asked], atol=1e-5)
    mask = np.zeros(pbmc.n_obs, dtype=bool)
    mask[[3, 9]] = True
    np.testing.assert_allclose(model.get_latent_representation(indices=mask), everything[[3, 9]], atol=1e-5)
    pbmc.write_h5ad(tmp_path / "backed.h5ad")
    backed = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    np.testing.assert_allclose(model.get_latent_representation(backed, indices=asked), everything[asked], atol=1e-5)
    backed.file.close()


def test_small_batches_do_not_change_the_embedding(method, pbmc):
    method.model_cls.setup_anndata(pbmc, **method.fields)
    model = method.model_cls(pbmc)
    model.train(1, enable_progress_bar=False)
    np.testing.assert_allclose(
        model.get_latent_representation(batch_size=7), model.get_latent_representation(), atol=1e-5
    )


@pytest.mark.parametrize("n_obs", [64, 65, 66, 95, 97, 129])
def test_any_number_of_cells_trains(method, pbmc, n_obs):
    adata = pbmc[:n_obs].copy()
    method.run(adata, batch_size=64)
    assert np.isfinite(adata.obsm[f"X_{method.name}"]).all()


def test_paper_recipe_runs_on_any_data(method, pbmc):
    pbmc.var["highly_variable"] = False  # the paper selects its own genes
    method.run(pbmc, recipe="paper", n_top_genes=None)
    recipe = method.model_cls.recipes["paper"]
    seen = (np.asarray((pbmc.X > 0).sum(axis=0)).ravel() >= recipe.min_cells).sum()
    assert pbmc.uns[method.name]["params"]["n_genes"] == min(recipe.n_top_genes, seen)


@pytest.mark.parametrize("method", CASES, ids=str)
def test_unknown_number_of_clusters(method, pbmc):
    method.run(pbmc, None)
    number = pbmc.uns[method.name]["n_clusters"]
    assert number["chosen"] == pbmc.obs[method.name].nunique()
    assert len(number["score"]) == len(number["tried"])


@pytest.mark.parametrize("method", CASES, ids=str)
def test_several_runs_give_their_consensus(method, pbmc):
    method.run(pbmc, 4, n_runs=3)
    key = method.name
    assert pbmc.obs[key].nunique() == 4
    assert pbmc.obs[f"{key}_agreement"].between(0, 1).all()
    assert pbmc.obs[f"{key}_confidence"].between(0, 1).all()
    again = method.run(pbmc, 4, n_runs=3, copy=True)
    assert_same_result(pbmc, again, key)
    method.run(pbmc, 4)
    assert f"{key}_agreement" not in pbmc.obs


def test_saved_model_is_that_of_the_embedding_kept(method, pbmc, tmp_path):
    method.run(pbmc, n_runs=2, model_dir=tmp_path / "model")
    model = method.model_cls.load(tmp_path / "model", pbmc)
    np.testing.assert_allclose(model.get_latent_representation(), pbmc.obsm[f"X_{method.name}"], atol=1e-5)


def test_training_data_are_freed(method, pbmc, monkeypatch):
    from scx._workflow import walk as _workflow

    kept = []

    def spy(*args, **kwargs):
        data = prepare(*args, **kwargs)
        kept.append(weakref.ref(data.adata))
        return data

    prepare = _workflow.prepare
    monkeypatch.setattr(_workflow, "prepare", spy)
    method.run(pbmc)
    gc.collect()
    assert kept[0]() is None


def test_counts_are_shared_not_copied(pbmc):
    from scx._matrix import read_counts
    from scx._workflow.prepare import prepare

    counts = read_counts(pbmc, None)
    every_gene = np.ones(pbmc.n_vars, dtype=bool)
    working = prepare(counts, pbmc, layer=None, mask_var=every_gene, n_top_genes=0, min_cells=0).adata
    assert np.shares_memory(working.X.data, pbmc.X.data)
    assert np.shares_memory(working.X.indices, pbmc.X.indices)
