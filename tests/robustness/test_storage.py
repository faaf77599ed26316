"""Data that are not in memory, or cannot be written to, are refused before training with the call that helps."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from anndata.experimental import read_lazy
from scipy import sparse

import scx
from conftest import CASES
from scx._anndata import check_storage


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


def lazy_data(adata, kind, folder):
    """Return `adata` with lazy counts, and the layer that holds them."""
    if kind.startswith("read_lazy"):
        path = folder / f"x.{kind.split()[1]}"
        getattr(adata, f"write_{kind.split()[1]}")(path)
        return read_lazy(path), None
    counts = da.from_array(adata.X.toarray(), chunks=(150, -1))
    if kind.startswith("sparse"):
        counts = counts.map_blocks(sparse.csr_array)
    if kind.endswith("layer"):
        adata.layers["counts"] = counts
        return adata, "counts"
    adata.X = counts
    return adata, None


KINDS = ["dense X", "dense layer", "sparse X", "sparse layer", "read_lazy h5ad", "read_lazy zarr"]


@pytest.mark.parametrize("kind", KINDS)
def test_lazy_data_are_refused_before_training_with_the_call_that_helps(pbmc, tmp_path, monkeypatch, kind):
    lazy, layer = lazy_data(pbmc, kind, tmp_path)
    fields = [set(getattr(lazy, where)) for where in ("layers", "obs", "obsm", "uns")]
    for method in CASES:
        monkeypatch.setattr(method.model_cls, "train", lambda *args, **kwargs: pytest.fail("trained"))
        for copy in (False, True):
            with pytest.raises(ValueError, match=r"is lazy.*adata = adata.to_memory\(\)"):
                method.run(lazy, 3, layer=layer, copy=copy)
        with pytest.raises(ValueError, match=r"is lazy.*adata = adata.to_memory\(\)"):
            method.model_cls.setup_anndata(lazy, layer=layer)
    assert [set(getattr(lazy, where)) for where in ("layers", "obs", "obsm", "uns")] == fields
    assert hasattr(lazy.X if layer is None else lazy.layers[layer], "dask")
    check_storage(lazy.to_memory(), layer, copy=False)


def test_an_embedding_of_dask_is_clustered_as_in_memory(pbmc):
    pbmc.obsm["X_rep"] = np.random.default_rng(0).normal(size=(pbmc.n_obs, 3))
    expected = scx.tl.cluster(pbmc, 3, use_rep="X_rep", copy=True)
    pbmc.obsm["X_rep"] = da.from_array(pbmc.obsm["X_rep"], chunks=(150, -1))
    scx.tl.cluster(pbmc, 3, use_rep="X_rep")
    assert pbmc.obs["cluster"].tolist() == expected.obs["cluster"].tolist()
    assert hasattr(pbmc.obsm["X_rep"], "dask")


def test_plots_and_metrics_tell_lazy_tables_the_call_that_helps(pbmc, tmp_path):
    pbmc.obsm["X_rep"] = np.random.default_rng(0).normal(size=(pbmc.n_obs, 3))
    pbmc.obs["a"] = pbmc.obs["b"] = pbmc.obs["bulk_labels"]
    lazy, _ = lazy_data(pbmc, "read_lazy h5ad", tmp_path)
    for call in (
        lambda: scx.pl.confusion(lazy, "a", "b", show=False),
        lambda: scx.pl.flow(lazy, "a", "b", show=False),
        lambda: scx.metrics.stability(lazy, ["a", "b"]),
        lambda: scx.metrics.clustering_report(lazy, "a", "b"),
        lambda: scx.metrics.knn_preservation(lazy, "X_rep"),
    ):
        with pytest.raises(ValueError, match=r"is lazy.*adata = adata.to_memory\(\)"):
            call()
