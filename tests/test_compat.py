"""What scx takes from the private parts of others, and the constraints it puts on their versions."""

import inspect
from importlib.metadata import version

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from scx import _compat


def test_mask_var_default_is_that_of_scanpy():
    assert inspect.signature(sc.pp.pca).parameters["mask_var"].default is _compat.MASK_VAR_DEFAULT


def test_devices_are_parsed():
    _compat.parse_devices("cpu", 1)
    with pytest.raises(Exception, match="warp"):
        _compat.parse_devices("warp", 1)


def test_palettes_are_those_of_scanpy():
    adata = ad.AnnData(obs=pd.DataFrame({"group": pd.Categorical(list("aabbc"))}))
    _compat.fill_colors(adata, "group")
    assert len(adata.uns["group_colors"]) == 3


@pytest.mark.slow
def test_neighbors_above_8192_cells():
    """pynndescent 0.7 breaks this in scanpy up to 1.12.4: if it passes with 0.7 installed, drop the bound in pyproject.toml."""
    assert version("pynndescent") < "0.7", "the bound is gone: if this test passes without this line, delete the line"
    cells = ad.AnnData(obsm={"X": np.random.default_rng(0).normal(size=(9000, 8)).astype(np.float32)})
    sc.pp.neighbors(cells, use_rep="X")
    assert cells.obsp["distances"].getnnz(axis=1).min() >= 14
