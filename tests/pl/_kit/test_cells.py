"""Cells on a layout."""

import numpy as np
import pandas as pd
import pytest

import scx


def test_many_cells_are_rasterised(adata):
    for ax in scx.pl.embedding(adata, "mine", color=["mine", "gene0"], show=False):
        assert all(collection.get_rasterized() for collection in ax.collections)


DAYS = pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.array(DAYS * 120), [str(day) for day in DAYS]),
        (np.array([1, "day"] * 120, dtype=object), ["1", "day"]),
        (pd.array([True, None] * 120, dtype="boolean"), ["True", "NA"]),
        (np.array([b"one", b"two"] * 120, dtype=object), ["b'one'", "b'two'"]),
        (np.array([None] * 240, dtype=object), ["NA"]),
    ],
)
def test_labels_that_are_no_strings_are_drawn_as_categories(adata, values, names):
    adata.obs["odd"] = values
    axes = scx.pl.embedding(adata, "mine", color="odd", legend_loc="right margin", show=False)
    layouts = scx.pl.layouts(adata, ["X_mine", "X_noise"], color="odd", legend_loc="right margin", show=False)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert len(np.unique(axes.collections[0].get_facecolors(), axis=0)) == len(names)
    for panel in layouts:
        assert len(np.unique(panel.collections[0].get_facecolors(), axis=0)) == len(names)
