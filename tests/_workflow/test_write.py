"""What is written, what is removed, and what is left alone."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scx
from robustness.identical import assert_identical, frozen
from scx._clustering.types import Partition, Prediction
from scx._workflow.keys import Keys
from scx._workflow.write import NewCells, plain, write


@pytest.fixture
def adata(pbmc):
    """Cells with an embedding, cheap to cluster."""
    small = pbmc[:40].copy()
    small.obsm["X_rep"] = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    return small


@pytest.mark.parametrize(
    "key",
    [
        "a/b",
        "a\\b",
        ".",
        "..",
        ".zgroup",
        "zarr.json",
        "_index",
        "__categories",
        "a\0b",
        "a" * 300,
        "é" * 130,
        " a",
        "a ",
        " ",
        "a\nb",
        "\udcff",
    ],
)
def test_refuses_a_name_that_files_cannot_hold(adata, key):
    before = frozen(adata)
    with pytest.raises(ValueError, match=r"`key_added=.*Pass another `key_added`"):
        scx.tl.cluster(adata, 3, use_rep="X_rep", key_added=key)
    assert_identical(adata, before)


def test_refuses_the_name_of_the_index(adata, tmp_path):
    adata.obs.index.name = "cell"
    with pytest.raises(ValueError, match="`key_added='cell'` is the name of the index"):
        scx.tl.cluster(adata, 3, use_rep="X_rep", key_added="cell")


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.parametrize("key", ["a" * 230, "é ü", "0", "a.b", "None", "_a", "obs"])
def test_takes_a_name_that_files_can_hold(adata, tmp_path, form, key):
    scx.tl.cluster(adata, 3, use_rep="X_rep", key_added=key)
    getattr(adata, f"write_{form}")(tmp_path / f"x.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"x.{form}")
    assert back.obs[key].astype(str).tolist() == adata.obs[key].astype(str).tolist()


def test_a_second_run_removes_what_its_record_lists_and_nothing_else(adata):
    labels = np.arange(adata.n_obs) % 2
    rich = Partition(
        labels,
        confidence=np.ones(adata.n_obs, dtype=np.float32),
        agreement=np.ones(adata.n_obs, dtype=np.float32),
        prediction=Prediction(("B", "T"), np.ones((adata.n_obs, 2), dtype=np.float32)),
        info={"n_clusters": {"chosen": 2, "reason": "given"}},
    )
    snapshots = {1: (adata.obsm["X_rep"], labels)}
    keys = Keys("mine")
    before = frozen(adata)
    new = NewCells(np.ones(adata.n_obs), np.ones(adata.n_obs, dtype=np.float32), labels == 1)
    write(adata, keys, partition=rich, record={}, embedding=adata.obsm["X_rep"], snapshots=snapshots, outliers=new)
    assert {f"{where}/{name}" for where, name in keys.everything} == {
        f"{where}/{name}" for where, names in adata.uns["mine"]["fields"].items() for name in names
    } | {"uns/mine"}
    plain_one = Partition(labels, confidence=np.ones(adata.n_obs, dtype=np.float32), info=rich.info)
    write(adata, keys, partition=plain_one, record={})
    assert_identical(adata, before, ignore=keys.written(confidence=True, embedding=True))
    assert "X_mine" in adata.obsm  # an embedding is not lost when its clusters are found anew
    adata.obs["mine_agreement"] = 1.0  # a user's own
    write(adata, keys, partition=plain_one, record={})
    assert (adata.obs["mine_agreement"] == 1.0).all()
    assert set(adata.uns["mine"]["fields"]["obs"]) == {"mine", "mine_confidence"}
    assert set(adata.uns["mine"]["fields"]["obsm"]) == {"X_mine"}


def test_a_column_of_the_user_stays_or_is_refused(adata):
    scx.tl.cluster(adata, 3, use_rep="X_rep", key_added="mine")
    adata.obs["mine_prediction"] = "by hand"
    scx.tl.cluster(adata, 2, use_rep="X_rep", key_added="mine")
    assert (adata.obs["mine_prediction"] == "by hand").all()
    scx.tl.cluster(adata, 3, use_rep="X_rep", key_added="other")
    adata.obs["both_agreement"] = "by hand"
    scx.tl.cluster(adata, 3, use_rep="X_rep", key_added="both")
    before = frozen(adata)
    with pytest.raises(ValueError, match=r"would overwrite adata.obs\['both_agreement'\]"):
        scx.tl.consensus(adata, ["mine", "other"], key_added="both")
    assert_identical(adata, before)


def test_a_column_that_a_method_would_write_is_refused_at_the_start(method, pbmc):
    method.run(pbmc)
    pbmc.obs[f"{method.name}_agreement"] = "by hand"
    before = frozen(pbmc)
    with pytest.raises(ValueError, match=r"_agreement.*scx did not write under this name"):
        method.run(pbmc, n_runs=2)
    assert_identical(pbmc, before)


class Anything:
    """What nobody can store."""

    def __str__(self):
        return "anything\0\udcff"


SETTINGS = {
    "callbacks": [Anything(), Anything()],
    "logger": Anything(),
    "ragged": [[1, 2], [3]],
    "mixed": [1, "a", None],
    "none": [None],
    "empty": [],
    "big": 2**70,
    "path": Path("a"),
    "nested": {"a/b": {1: (1, 2)}},
    "numpy": [np.int64(1), np.float32(2)],
    "objects": np.array([Anything()], dtype=object),
    "time": pd.Timedelta("1h"),
    "set": {1},
    "complex": 1j,
    "text": "a\0\udcff",
    "dtype": np.dtype("f4"),
    "bytes": b"a",
}


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_any_settings_are_stored(adata, tmp_path, form):
    adata.uns["settings"] = plain(SETTINGS)
    getattr(adata, f"write_{form}")(tmp_path / f"x.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"x.{form}").uns["settings"]
    assert back.keys() == SETTINGS.keys()
    assert list(back["mixed"]) == ["1", "a", "None"]
    np.testing.assert_array_equal(back["numpy"], [1, 2])
    assert back["big"] == str(2**70)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda entry: st.lists(entry) | st.dictionaries(st.text(min_size=1), entry),
    )
)
def test_plain_holds_nothing_but_what_is_stored(settings):
    def check(value):
        if isinstance(value, dict):
            assert all(isinstance(name, str) and "/" not in name and "\0" not in name for name in value)
            for entry in value.values():
                check(entry)
        elif isinstance(value, np.ndarray):
            assert value.dtype.kind in "biufU"
        else:
            assert isinstance(value, str | bool | int | float)
            assert not isinstance(value, str) or "\0" not in value.encode().decode()

    check(plain(settings))
