import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scx
from models import untrained_semiaae

QUICK = {"max_epochs": 10, "batch_size": 100}


@pytest.fixture(scope="module")
def annotated(_groups) -> ad.AnnData:
    return scx.tl.semiaae(_groups, labels_key="given", copy=True, **QUICK)


def test_fields(annotated, groups, tmp_path):
    key, names = "semiaae", ["Group1", "Group2", "Group3", "Group4"]
    names = sorted(groups.obs["group"].astype(str).unique())
    assert list(annotated.uns[key]["types"]) == names
    proba = annotated.obsm[f"{key}_proba"]
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    prediction = annotated.obs[f"{key}_prediction"]
    assert list(prediction.cat.categories) == names
    np.testing.assert_array_equal(prediction, np.array(names)[proba.argmax(axis=1)])
    confidence = annotated.obs[f"{key}_confidence"]
    assert confidence.dtype == np.float32
    assert (confidence <= proba.max(axis=1) + 1e-6).all()
    assert list(annotated.obs[key].cat.categories) == names
    pd.testing.assert_series_equal(annotated.obs["given"], groups.obs["given"])
    calibration = annotated.uns[key]["calibration"]
    assert len(calibration["confidence"]) == len(calibration["accuracy"]) == len(calibration["n_cells"])
    assert calibration["n_cells"].sum() == (groups.obs["given"] != "Unknown").sum()
    assert calibration["temperature"] > 0
    assert 0 <= calibration["ece"] <= 1
    annotated.write_h5ad(tmp_path / "annotated.h5ad")
    back = ad.read_h5ad(tmp_path / "annotated.h5ad")
    np.testing.assert_array_equal(back.obs[f"{key}_prediction"], prediction)
    assert back.uns[key]["calibration"]["ece"] == calibration["ece"]


def test_types_of_unlabelled_cells_are_found(annotated, groups):
    unlabelled = (groups.obs["given"] == "Unknown").to_numpy()
    found = annotated.obs["semiaae_prediction"].astype(str) == groups.obs["group"].astype(str)
    assert found[unlabelled].mean() > 0.95


def test_only_labels_that_are_given_are_read(annotated, groups):
    """The true types of unlabelled cells, permuted in their column, change no bit."""
    truth = groups.obs["group"].to_numpy().copy()
    unlabelled = np.flatnonzero(groups.obs["given"] == "Unknown")
    truth[unlabelled] = np.random.default_rng(1).permutation(truth[unlabelled])
    groups.obs["group"] = truth
    scx.tl.semiaae(groups, labels_key="given", **QUICK)
    np.testing.assert_array_equal(groups.obsm["X_semiaae"], annotated.obsm["X_semiaae"])
    np.testing.assert_array_equal(groups.obsm["semiaae_proba"], annotated.obsm["semiaae_proba"])


@pytest.mark.filterwarnings("ignore:`unlabeled_category='not yet'` matches no cell")
@pytest.mark.parametrize("unlabelled", [np.nan, "", "not yet", None])
def test_ways_to_be_unlabelled(annotated, groups, unlabelled):
    column = groups.obs["given"].astype(object)
    column[column == "Unknown"] = unlabelled
    groups.obs["other"] = pd.Categorical(column, categories=[*sorted(set(column) - {np.nan, None}), "of no cell"])
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category="not yet", **QUICK)
    np.testing.assert_array_equal(groups.obsm["semiaae_proba"], annotated.obsm["semiaae_proba"])


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "category"])
def test_types_that_are_numbers(groups, dtype):
    names = [name for name in sorted(groups.obs["given"].unique()) if name != "Unknown"]
    numbers = groups.obs["given"].astype(str).map({"Unknown": -1} | {name: i for i, name in enumerate(names)})
    groups.obs["other"] = numbers.astype(float).astype("category") if dtype == "category" else numbers.astype(dtype)
    unlabeled = "-1.0" if dtype in ("float64", "category") else "-1"
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category=unlabeled, max_epochs=1, n_top_genes=50)
    assert list(groups.uns["semiaae"]["types"]) == ["0", "1", "2", "3"]


def test_type_that_is_called_unknown_is_one_if_another_name_is_given(groups):
    groups.obs["other"] = groups.obs["given"].replace("Unknown", "")
    groups.obs["other"] = groups.obs["other"].replace(groups.obs["group"].astype(str).min(), "Unknown")
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category="", max_epochs=1, n_top_genes=50)
    assert "Unknown" in groups.uns["semiaae"]["types"]


def test_head_is_as_sure_as_its_target(groups):
    """A derivative of the cross-entropy by the temperature, 0, in float64; also where training ends long before it fits."""
    model = untrained_semiaae(groups)
    model.train(2, batch_size=100, enable_progress_bar=False)
    assert model.module.inverse_temperature != 1
    proba, target = model.predict(soft=True).to_numpy().astype(float), model._guidance.target.astype(float)
    logits = np.log(proba)
    slope = ((proba - target) * logits).sum(axis=1).mean()
    assert abs(slope) < 1e-3
    assert ((proba**1.2 / (proba**1.2).sum(axis=1, keepdims=True) - target) * logits).sum(axis=1).mean() > 1e-3


@pytest.mark.slow
def test_paper_learns_the_given_labels(groups):
    scx.tl.semiaae(groups, labels_key="given", recipe="paper", batch_size=50, max_epochs=40)
    unlabelled = (groups.obs["given"] == "Unknown").to_numpy()
    found = groups.obs["semiaae_prediction"].astype(str) == groups.obs["group"].astype(str)
    assert found[unlabelled].mean() > 0.7  # slow to learn, with a fifth of the epochs of the recipe
    number = groups.uns["semiaae"]["n_clusters"]
    assert number["chosen"] == len(groups.obs["semiaae"].cat.categories) == 4
    assert number["reason"].startswith("as many as known types")
    assert groups.uns["semiaae"]["cluster"] == "gmm"


def test_nothing_remains_of_labels_in_a_run_without(annotated):
    again = annotated.copy()
    scx.tl.semiaae(again, 3, max_epochs=1, n_top_genes=50)
    assert list(again.obs["semiaae"].cat.categories) == ["0", "1", "2"]
    assert "semiaae_prediction" not in again.obs
    assert "semiaae_proba" not in again.obsm
    assert "calibration" not in again.uns["semiaae"]


def test_no_label_at_all_is_no_label(groups):
    groups.obs["given"] = "Unknown"
    with pytest.warns(UserWarning, match="No cell has a label"):
        scx.tl.semiaae(groups, 4, labels_key="given", max_epochs=1, n_top_genes=50)
    assert list(groups.obs["semiaae"].cat.categories) == ["0", "1", "2", "3"]


def test_errors_before_training(groups):
    before = groups.copy()
    with pytest.raises(ValueError, match="Unknown `labels_key`: 'typo'"):
        scx.tl.semiaae(groups, labels_key="typo")
    with pytest.raises(ValueError, match="have 4 types, more than `n_clusters=3`"):
        scx.tl.semiaae(groups, 3, labels_key="given")
    groups.obs["semiaae"] = groups.obs["given"]
    groups.uns["semiaae"] = {"scx_version": "0"}
    with pytest.raises(ValueError, match="would overwrite the labels"):
        scx.tl.semiaae(groups, labels_key="semiaae")
    assert list(groups.obsm) == list(before.obsm)


def test_saved_model_predicts_new_cells_without_labels(groups, tmp_path):
    scx.model.SemiAAE.setup_anndata(groups, labels_key="given")
    model = scx.model.SemiAAE(groups)
    model.train(10, batch_size=100, enable_progress_bar=False)
    model.save(tmp_path / "model")
    query = groups[[3, 50, 7]].copy()
    del query.obs["given"]
    loaded = scx.model.SemiAAE.load(tmp_path / "model", query)
    expected = model.predict(soft=True).iloc[[3, 50, 7]]
    pd.testing.assert_frame_equal(loaded.predict(soft=True), expected, rtol=1e-4)
    np.testing.assert_array_equal(loaded.predict(), expected.columns[expected.to_numpy().argmax(axis=1)])
    with pytest.raises(RuntimeError, match="session that trained"):
        loaded.partition(loaded.get_latent_representation(), None, "kmeans", 0)


def test_prediction_without_known_types_says_so(groups):
    del groups.obs["given"]
    model = untrained_semiaae(groups)
    model.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match="labels_key"):
        model.predict()


def given(adata, unlabeled_category, by):
    """Hand labels over, to the function or to the model."""
    if by == "tl":
        scx.tl.semiaae(adata, labels_key="given", unlabeled_category=unlabeled_category, max_epochs=1, n_top_genes=50)
    else:
        scx.model.SemiAAE.setup_anndata(adata, labels_key="given", unlabeled_category=unlabeled_category)


@pytest.mark.parametrize("by", ["tl", "model"])
@pytest.mark.parametrize("slip", ["unknown", " Unknown", "Unkown", "UNKNOWN "])
def test_slip_of_the_unlabeled_category(groups, slip, by):
    with pytest.raises(ValueError, match=r"matches no cell in .* which holds 'Unknown'. Pass that"):
        given(groups, slip, by)


@pytest.mark.parametrize("by", ["tl", "model"])
def test_unlabeled_category_that_matches_no_cell(groups, by):
    with pytest.warns(UserWarning, match="`unlabeled_category='none'` matches no cell"):
        given(groups, "none", by)
    groups.obs["given"] = groups.obs["given"].astype(str).replace("Unknown", "")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(no cell|No cell).*")
        given(groups, "Unknown", by)  # the default, where unlabelled cells are empty
    with pytest.raises(TypeError, match="`unlabeled_category` must be a string"):
        given(groups, 3, by)


@pytest.mark.parametrize("by", ["tl", "model"])
def test_labels_that_are_all_missing(groups, by):
    groups.obs["given"] = "Unknown"
    with pytest.warns(UserWarning, match=r"No cell has a label in `adata.obs\['given'\]`"):
        given(groups, "Unknown", by)
