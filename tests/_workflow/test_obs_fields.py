"""Fields of ``obs`` that models read."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scx._methods import METHODS
from scx._workflow.keys import LABELS, Keys
from scx._workflow.obs_fields import READERS, read_labels

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
