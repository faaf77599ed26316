"""Palettes: those of scanpy, the same for the same names, and kept in ``uns``."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scx
from pl.plots import N_OBS, PLOTS, fabricated


@pytest.mark.parametrize("name", ["embedding", "flow", "clustering_over_training"])
@pytest.mark.usefixtures("no_umap")
def test_palettes_are_those_of_scanpy(name, adata):
    reference = adata.copy()
    sc.pl.embedding(reference, "X_mine", color=["mine", "type"], show=False)
    PLOTS[name](adata, show=False)
    for key in ("mine_colors", "type_colors"):
        assert list(adata.uns[key]) == list(reference.uns[key])
    own = ["#111111", "#222222", "#333333", "#444444", "#555555", "#666666"]
    adata.uns["mine_colors"] = own
    PLOTS[name](adata, show=False)
    assert list(adata.uns["mine_colors"]) == own


@pytest.mark.parametrize("name", ["embedding", "flow"])
@pytest.mark.usefixtures("no_umap")
def test_types_of_one_name_have_one_colour(name, adata):
    """Also a new type beside them has a colour of its own, and cells without a label are grey."""
    types = adata.obs["type"].astype(str)
    first, second, *_ = sorted(types.unique())
    adata.obs["type"] = types.replace(first, "no idea")
    adata.obs["mine"] = types.replace(second, "new_1").astype("category")
    adata.uns["mine"]["params"] |= {"labels_key": "type", "unlabeled_category": "no idea"}
    if name == "embedding":
        scx.pl.embedding(adata, "mine", color=["type", "mine"], show=False)
    else:
        scx.pl.flow(adata, "type", "mine", show=False)
    known, found = (
        dict(zip(adata.obs[key].astype("category").cat.categories, adata.uns[f"{key}_colors"], strict=True))
        for key in ("type", "mine")
    )
    assert known.pop("no idea") == "#d3d3d3"
    assert {key: found[key] for key in known.keys() - {second}} == {key: known[key] for key in known.keys() - {second}}
    assert len(set(found.values())) == len(found)
    assert not {"#d3d3d3", known[second]} & {found["new_1"], found[first]}


@pytest.mark.usefixtures("no_umap")
def test_palette_that_is_there_gives_its_colours(adata):
    adata.obs["mine"] = adata.obs["type"]
    adata.uns["mine_colors"] = own = ["#111111", "#222222", "#333333", "#444444", "#555555"]
    scx.pl.embedding(adata, "mine", color=["type", "mine"], show=False)
    assert adata.uns["type_colors"] == own


@pytest.mark.usefixtures("no_umap")
def test_colours_of_numbered_strings_are_read_in_their_order(adata):
    """As drawn: scanpy sorts 2 before 10."""
    adata = fabricated(12)
    adata.obs["strings"] = adata.obs["mine"].astype(str)
    first, second = scx.pl.embedding(adata, "mine", color=["mine", "strings"], legend_loc="none", show=False)
    np.testing.assert_array_equal(first.collections[0].get_facecolors(), second.collections[0].get_facecolors())


@pytest.mark.usefixtures("no_umap")
def test_more_names_than_colours(adata):
    names = np.array([f"name {i}" for i in range(130)])
    adata.obs["many"] = pd.Categorical(names[np.arange(N_OBS) % 130])
    adata.obs["others"] = pd.Categorical(np.char.add(names, "'")[np.arange(N_OBS) % 130]).rename_categories(
        {"name 1'": "name 1"}
    )
    scx.pl.embedding(adata, "mine", color=["many", "others"], legend_loc="none", show=False)
    assert len(adata.uns["others_colors"]) == 130


@pytest.mark.parametrize("palette", [3, "red", ["no colour"] * 6, [["red"]]])
def test_palette_that_is_none(adata, palette):
    adata.uns["mine_colors"] = palette
    with pytest.raises(ValueError, match=r"mine_colors.*must list colours"):
        scx.pl.flow(adata, "type", "mine")
