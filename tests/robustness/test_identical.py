"""The helper that tells whether an AnnData is what it was: it sees every change, and none where there is none."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from robustness.identical import assert_identical, frozen


@pytest.fixture
def adata(pbmc):
    """An object with something of everything."""
    pbmc.raw = pbmc
    pbmc.X.data[0] = 0
    pbmc.layers["dense"] = pbmc.X.toarray()
    pbmc.obs["nullable"] = pd.array([1, None, *range(pbmc.n_obs - 2)], dtype="Int64")
    pbmc.obs["text"] = pd.array(["a"] * pbmc.n_obs, dtype=object)
    pbmc.obs["type"] = pd.Categorical(["a", "b"] * (pbmc.n_obs // 2))
    pbmc.obsm["frame"] = pd.DataFrame({"x": 1.0}, index=pbmc.obs_names)
    pbmc.varm["PCs"] = np.ones((pbmc.n_vars, 2))
    pbmc.obsp["graph"] = sparse.csr_matrix(np.eye(pbmc.n_obs))
    pbmc.uns = {"nested": {"list": [1, "a", np.arange(3)], "none": None, "nan": np.nan}}
    return pbmc


CHANGES = {
    "X": lambda adata: adata.X.data.__setitem__(0, adata.X.data[0] + 1),
    "X's last bit": lambda adata: adata.X.data.__setitem__(0, np.nextafter(adata.X.data[0], np.float32(9e9))),
    "X's dtype": lambda adata: setattr(adata, "X", adata.X.astype(np.float64)),
    "X's class": lambda adata: setattr(adata, "X", sparse.csr_array(adata.X)),
    "X's stored zeros": lambda adata: adata.X.eliminate_zeros(),
    "layers": lambda adata: adata.layers["dense"].__setitem__((0, 0), -1),
    "a new layer": lambda adata: adata.layers.__setitem__("new", adata.X.copy()),
    "obs' values": lambda adata: adata.obs["text"].array.__setitem__(3, "b"),
    "obs' missing": lambda adata: adata.obs["nullable"].array.__setitem__(5, None),
    "obs' dtype": lambda adata: adata.obs.__setitem__("text", adata.obs["text"].astype("category")),
    "obs' categories": lambda adata: adata.obs.__setitem__(
        "type", adata.obs["type"].cat.reorder_categories(["b", "a"])
    ),
    "obs' order": lambda adata: setattr(adata, "obs", adata.obs[adata.obs.columns[::-1]]),
    "names of cells": lambda adata: setattr(adata, "obs_names", [f"c{i}" for i in range(adata.n_obs)]),
    "name of the index": lambda adata: setattr(adata.obs.index, "name", "cell"),
    "var": lambda adata: adata.var.__setitem__("new", 1),
    "obsm": lambda adata: adata.obsm["frame"].__setitem__("x", 2.0),
    "varm": lambda adata: adata.varm["PCs"].__setitem__((0, 0), 0),
    "obsp": lambda adata: adata.obsp["graph"].data.__setitem__(0, 2.0),
    "uns, nested": lambda adata: adata.uns["nested"]["list"][2].__setitem__(0, 9),
    "uns, an array for a list": lambda adata: adata.uns["nested"].__setitem__("list", np.array([1])),
    "raw": lambda adata: adata.raw.X.data.__setitem__(0, -1),
    "no raw": lambda adata: setattr(adata, "raw", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_sees_a_change_of(adata, change):
    before = frozen(adata)
    assert_identical(adata, before)
    CHANGES[change](adata)
    with pytest.raises(AssertionError):
        assert_identical(adata, before)


def test_a_copy_and_what_is_ignored(adata):
    before = frozen(adata)
    assert_identical(adata.copy(), before)
    adata.obs["new"] = 1
    adata.uns["new"] = {"a": 1}
    assert_identical(adata, before, ignore={("obs", "new"), ("uns", "new")})
    with pytest.raises(AssertionError, match=r"obs\['new'\]"):
        assert_identical(adata, before, ignore={("uns", "new")})


@pytest.mark.parametrize("storage", ["sparse", "dense"])
def test_backed(adata, tmp_path, storage):
    del adata.uns["nested"]
    adata.X = adata.X.toarray() if storage == "dense" else adata.X
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r+")
    before = frozen(backed)
    assert_identical(backed, before)
    stored = backed.file._file["X/data" if storage == "sparse" else "X"]
    stored[0] = stored[0] + 1
    with pytest.raises(AssertionError, match="X"):
        assert_identical(backed, before)
    backed.file.close()
