import anndata as ad
import numpy as np
import pytest

import scx


@pytest.fixture(scope="module")
def _groups() -> ad.AnnData:
    adata = scx.datasets.simulate(400, 300, n_groups=4, de_prob=0.3, de_scale=0.8, library_loc=8.0)
    adata.obs["given"] = adata.obs["group"].astype(str)
    adata.obs.loc[np.random.default_rng(0).random(400) > 0.2, "given"] = "Unknown"
    return adata


@pytest.fixture
def groups(_groups) -> ad.AnnData:
    """400 simulated cells of four groups, of which every fifth is labelled."""
    return _groups.copy()
