"""What plots read: results of scx, and columns of ``obs``."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from pl.plots import N_OBS, fabricated
from scx._methods import METHODS
from scx._workflow import read


@pytest.fixture
def adata() -> ad.AnnData:
    return fabricated()


@pytest.mark.parametrize("entry", ["params", "history", "phases", "n_clusters", "calibration"])
def test_record_that_was_changed(adata, entry):
    adata.uns["mine"][entry] = 3
    with pytest.raises(ValueError, match=f"'{entry}'.*Run .* again"):
        read.read_history(adata, "mine")


@pytest.mark.parametrize(
    ("reader", "changed"),
    [
        (read.read_history, {"history": {"loss": ["a"]}}),
        (read.read_n_clusters, {"n_clusters": {"tried": [[2]], "chosen": 2}}),
        (read.read_calibration, {"calibration": {"confidence": [], "ece": 0.1}}),
        (read.read_snapshots, {"snapshots": ["a"]}),
    ],
)
def test_curves_that_are_no_numbers(adata, reader, changed):
    adata.uns["mine"] |= changed
    (entry,) = changed
    with pytest.raises(ValueError, match=rf"uns\['mine'\]\['{entry}'\].*one-dimensional array of numbers"):
        reader(adata, "mine")


@pytest.mark.parametrize("found", [None, 3, {}, {"params": {}}])
def test_entry_of_uns_that_scx_did_not_write(adata, found):
    adata.uns["other"] = found
    with pytest.raises(ValueError, match=re.escape("no result of scx under `key='other'`")) as error:
        read.read_record(adata, "other")
    assert "holds results under 'mine'" in str(error.value)


def test_history(adata):
    history = read.read_history(adata, "mine")
    assert history.n_epochs == 40
    assert history.stopped_early
    assert history.phases == {"autoencoder": 1, "clustering": 26}
    np.testing.assert_array_equal(history.losses["mmd"], adata.uns["mine"]["history"]["mmd"])
    del adata.uns["mine"]["phases"], adata.uns["mine"]["params"]
    history = read.read_history(adata, "mine")
    assert not history.stopped_early
    assert history.phases == {}


def test_categories_are_those_in_use(adata):
    adata.obs["mine"] = adata.obs["mine"].cat.add_categories("unused")
    adata.obs["strings"] = adata.obs["type"].astype(str)
    assert list(read.read_clusters(adata, "mine").cat.categories) == list("012345")
    labels = read.read_labels(adata, "strings")
    assert list(labels.cat.categories) == sorted(adata.obs["type"].cat.categories)
    assert labels.astype(str).equals(adata.obs["strings"].astype(str))


def test_layout_in_order_of_preference(adata):
    assert read.find_stored_layout(adata, "X_mine") == "X_mine"  # two dimensions already
    assert read.find_stored_layout(adata, "X_wide") is None
    adata.obsm["X_umap"] = adata.obsm["X_noise"]
    adata.uns["neighbors"] = {"params": {"use_rep": "X_pca"}}
    assert read.find_stored_layout(adata, "X_wide") is None
    adata.uns["neighbors"] = {"params": {"use_rep": "X_wide"}}
    assert read.find_stored_layout(adata, "X_wide") == "X_umap"
    adata.obsm["X_umap_wide"] = adata.obsm["X_noise"]
    assert read.find_stored_layout(adata, "X_wide") == "X_umap_wide"


def test_runs(adata):
    runs = read.read_runs(adata, {"a": "X_mine", "b": ["X_noise", "X_wide"]})
    assert runs == {"a": ["X_mine"], "b": ["X_noise", "X_wide"]}
    with pytest.raises(ValueError, match="no embedding under 'b'"):
        read.read_runs(adata, {"a": "X_mine", "b": []})
    with pytest.raises(ValueError, match="Unknown `use_reps`: 'X_nothing'"):
        read.read_runs(adata, {"a": ["X_mine", "X_nothing"]})


def test_unlabeled_categories_are_those_of_the_methods_that_read_the_labels(adata):
    assert read.unlabeled_categories(adata, "type") == set()
    adata.uns["mine"]["params"] |= {"labels_key": "type", "unlabeled_category": "?"}
    adata.uns["other"] = {"scx_version": "0", "params": {"labels_key": "mine", "unlabeled_category": "!"}}
    assert read.unlabeled_categories(adata, "type") == {"?"}


def test_predictions(adata):
    predictions, confidence = read.read_predictions(adata, "mine")
    assert predictions.tolist() == adata.obs["mine_prediction"].tolist()
    np.testing.assert_allclose(confidence, adata.obs["mine_confidence"])
    del adata.obs["mine_prediction"]
    with pytest.raises(ValueError, match=r"no `adata.obs\['mine_prediction'\]`.*scx.tl.*labels_key=..."):
        read.read_predictions(adata, "mine")


def test_categories_are_in_the_order_of_scanpys_palettes():
    numbered = pd.Series([f"{i}" for i in range(N_OBS)], index=np.arange(N_OBS).astype(str))
    assert list(read.as_categories(numbered).cat.categories) == sorted(numbered)  # "10" before "2"


def test_calls_that_messages_name():
    assert read.method_call("infovae") == "`scx.tl.infovae(adata)`"
    assert read.method_call("infovae", "n_runs=2") == "`scx.tl.infovae(adata, n_runs=2)`"
    assert read.method_call("cluster") == "`scx.tl.cluster(adata, use_rep)`"
    other = read.method_call("other", "n_runs=2")
    assert "`scx.tl.<method>(adata, n_runs=2, key_added='other')`" in other
    assert all(name in other for name in METHODS)
    labelled = [name for name, method in METHODS.items() if "labels" in method.obs_fields]
    for name in METHODS:
        assert (f"scx.tl.{name}(" in read.method_call(name, obs_field="labels")) == (name in labelled)
