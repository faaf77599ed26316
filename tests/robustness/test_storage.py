"""Data that are not in memory, or cannot be written to, are refused before training with the call that helps."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scx
from scx._checks import check_storage


@pytest.fixture
def view(pbmc, tmp_path):
    pbmc.obsm["X_rep"] = np.random.default_rng(0).normal(size=(pbmc.n_obs, 3))
    pbmc.obs["a"] = pbmc.obs["b"] = pbmc.obs["bulk_labels"]
    pbmc.write_h5ad(tmp_path / "backed.h5ad")
    backed = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    yield backed[:100]
    backed.file.close()


CALLS = {
    "contrastive": lambda adata, **kwargs: scx.tl.contrastive(adata, 3, max_epochs=1, n_top_genes=50, **kwargs),
    "cluster": lambda adata, **kwargs: scx.tl.cluster(adata, 3, use_rep="X_rep", **kwargs),
    "consensus": lambda adata, **kwargs: scx.tl.consensus(adata, ["a", "b"], **kwargs),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_view_of_data_on_disk_is_refused_or_copied(view, monkeypatch, name):
    assert name in CALLS[name](view, copy=True).obs
    monkeypatch.setattr(scx.model.Contrastive, "train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"view of an AnnData on disk.*`copy=True`.*to_memory\(\)"):
        CALLS[name](view)


def test_lazy_data_are_told_the_call_that_helps():
    lazy, table = SimpleNamespace(dask=None), pd.DataFrame()
    stored = SimpleNamespace(isbacked=False, is_view=False, obs=table, var=table, X=lazy, layers={"a": lazy, "b": 1})
    for layer in (None, "a"):
        with pytest.raises(ValueError, match=r"is lazy.*adata = adata.to_memory\(\)"):
            check_storage(stored, layer, copy=False)
    check_storage(stored, "b", copy=False)
    with pytest.raises(ValueError, match=r"`adata.obs` is lazy.*to_memory\(\)"):
        check_storage(SimpleNamespace(**{**vars(stored), "obs": object()}), "b", copy=False)
