"""Fields of ``obs`` that models read."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scx._methods import METHODS
from scx._workflow.keys import LABELS, Keys
from scx._workflow.obs_fields import READERS, read_batches, read_labels

UNKNOWN = {"unlabeled_category": "Unknown"}


@pytest.fixture
def adata():
    cells = ad.AnnData(np.ones((5, 2), dtype=np.float32))
    cells.obs["types"] = pd.Categorical(["T", "B", "Unknown", None, "T"], categories=["B", "T", "NK", "Unknown"])
    return cells


def test_every_method_reads_known_fields():
    assert {name for method in METHODS.values() for name in method.obs_fields} <= READERS.keys()


def test_labels(adata):
    arguments = {"labels_key": "types", **UNKNOWN}
    field = read_labels(adata, Keys("mine"), arguments)
    assert field.types == ("B", "T")
    assert field.values.tolist() == ["T", "B", np.nan, np.nan, "T"]
    assert field.setup == {"labels_key": LABELS, "unlabeled_category": ""}
    assert field.arguments == arguments
    assert LABELS not in adata.obs


def test_without_a_key_there_is_no_field(adata):
    assert read_labels(adata, Keys("mine"), {"labels_key": None, **UNKNOWN}) is None


def test_without_any_label_the_model_reads_none(adata):
    adata.obs["types"] = "Unknown"
    with pytest.warns(UserWarning, match="No cell has a label"):
        field = read_labels(adata, Keys("mine"), {"labels_key": "types", **UNKNOWN})
    assert field.values is None
    assert field.types == ()
    assert field.setup == {}
    assert field.arguments["labels_key"] == "types"


@pytest.mark.parametrize("name", ["mine", "mine_confidence", "mine_agreement", "mine_prediction"])
def test_labels_that_the_result_would_overwrite(adata, name):
    adata.obs[name] = adata.obs["types"]
    with pytest.raises(ValueError, match=f"`key_added='mine'` would overwrite the labels in `adata.obs\\['{name}'\\]`"):
        read_labels(adata, Keys("mine"), {"labels_key": name, **UNKNOWN})


def samples(values):
    return ad.AnnData(np.ones((len(values), 2), dtype=np.float32), obs=pd.DataFrame({"sample": values}, dtype=None))


@pytest.mark.parametrize(
    "kind", ["strings", "integers", "floats", "categories", "unused categories", "nullable integers", "objects"]
)
def test_batches_have_one_name_however_they_are_stored(kind):
    numbers = np.repeat([10, 2, 1], [12, 10, 11])
    texts = pd.Series(numbers.astype(str))
    column = {
        "strings": texts,
        "integers": numbers,
        "floats": numbers.astype(float),
        "categories": pd.Categorical(numbers),
        "unused categories": pd.Categorical(texts, categories=["7", "10", "2", "1"]),
        "nullable integers": pd.array(numbers, dtype="Int64"),
        "objects": pd.Series([1, "2", 10.0], dtype=object).to_numpy()[np.repeat([2, 1, 0], [12, 10, 11])],
    }[kind]
    adata = samples(column)
    before = adata.obs.copy()
    batches = read_batches(adata, Keys("mine"), "sample")
    assert batches.name == "sample"
    assert list(batches.cat.categories) == ["1", "10", "2"]
    assert batches.tolist() == texts.tolist()
    pd.testing.assert_frame_equal(adata.obs, before)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a"] * 15 + ["b"] * 14 + [None], "names no batch for 1 of 30 cells. Fill in"),
        (["a"] * 15 + ["b"] * 13 + ["", " "], "names no batch for 2 of 30 cells. Fill in"),
        ([1.0] * 15 + [2.0] * 14 + [np.nan], "names no batch for 1 of 30 cells"),
        (["a"] * 30, "holds one batch for all cells, 'a'. Leave out `batch_key`"),
        (np.arange(30), "holds 30 batches for 30 cells; there must be 10 cells per batch on average. Pass a column"),
        ([[1]] * 30, "cannot be categories"),
    ],
    ids=str,
)
def test_columns_that_name_no_batches(column, message):
    with pytest.raises(ValueError, match=f"`batch_key.*{message}"):
        read_batches(samples(column), Keys("mine"), "sample")


def test_batches_that_the_result_would_overwrite():
    adata = samples(["a"] * 15 + ["b"] * 15)
    with pytest.raises(ValueError, match="`key_added='sample'` would overwrite the batches"):
        read_batches(adata, Keys("sample"), "sample")
    with pytest.raises(ValueError, match="`batch_key`: 'no'"):
        read_batches(adata, Keys("mine"), "no")
