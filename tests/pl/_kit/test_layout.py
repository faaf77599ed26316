"""The layout of an embedding: found, computed or stored."""

import numpy as np
import pytest
import scanpy as sc

import scx
from pl.plots import N_OBS
from robustness.identical import assert_identical, frozen
from scx.pl._kit.layout import compute_umap


def test_layout_is_found_computed_or_stored(adata, no_umap, tmp_path):
    adata.obsm["X_mine"] = adata.obsm["X_wide"]
    sc.settings.verbosity, sc.settings.logfile = 3, tmp_path / "log"
    try:
        scx.pl.embedding(adata, "mine", show=False)
    finally:
        sc.settings.verbosity, sc.settings.logfile = 0, None
    assert len(no_umap) == 1
    said = (tmp_path / "log").read_text()
    assert "computing neighbors and UMAP of 'X_mine'" in said
    assert "basis='X_umap_mine'" in said
    assert "X_umap_mine" not in adata.obsm
    scx.pl.embedding(adata, "mine", basis="X_umap_mine", show=False)
    assert len(no_umap) == 2
    assert adata.obsm["X_umap_mine"].shape == (N_OBS, 2)
    ax = scx.pl.embedding(adata, "mine", show=False)  # found from now on
    scx.pl.confidence(adata, "mine", show=False)
    assert len(no_umap) == 2
    assert ax.get_xlabel() == "UMAP 1"


def test_umap_of_scanpy_is_taken_where_it_rests_on_the_embedding(adata, no_umap):
    adata.obsm["X_mine"] = adata.obsm["X_wide"]
    adata.obsm["X_umap"] = adata.obsm["X_noise"]
    adata.uns["neighbors"] = {"params": {"use_rep": "X_pca"}}
    scx.pl.embedding(adata, "mine", show=False)
    assert len(no_umap) == 1
    adata.uns["neighbors"] = {"params": {"use_rep": "X_mine"}}
    scx.pl.embedding(adata, "mine", show=False)
    assert len(no_umap) == 1


@pytest.mark.slow
def test_umap_is_that_of_scanpy_and_leaves_the_random_state(adata):
    reference = adata.copy()
    sc.pp.neighbors(reference, use_rep="X_wide", random_state=3)
    sc.tl.umap(reference, random_state=3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    layout = compute_umap(adata.obsm["X_wide"], rng=3)
    np.testing.assert_allclose(layout, reference.obsm["X_umap"], atol=1e-5)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("basis", [3, ["X_mine"], b"X_mine"])
def test_basis_is_a_name(adata, basis):
    before = frozen(adata)
    for plot in (scx.pl.embedding, scx.pl.confidence):
        with pytest.raises(TypeError, match="`basis` must be a string"):
            plot(adata, "mine", basis=basis)
    assert_identical(adata, before)
