"""Bad input: a clear error that names the parameter and the remedy, before any training, and nothing written."""

import numpy as np
import pytest
import scanpy as sc
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scvi.train import TrainRunner

from scx._workflow import counts as _counts


@pytest.fixture
def refuses(method, monkeypatch):
    """Run the method, which must raise the error before training and leave the data as they were."""

    def no_training(*args, **kwargs):
        pytest.fail("training began")

    monkeypatch.setattr(TrainRunner, "__init__", no_training)

    def check(adata, error, match, **kwargs):
        fields = [list(getattr(adata, where)) for where in ("obs", "obsm", "uns", "var", "varm", "layers")]
        with pytest.raises(error, match=match):
            method.function(adata, **kwargs)
        assert [list(getattr(adata, where)) for where in ("obs", "obsm", "uns", "var", "varm", "layers")] == fields

    return check


@pytest.mark.parametrize("thing", [None, 3, np.ones((20, 20)), "file.h5ad"])
def test_no_anndata(method, thing):
    with pytest.raises(TypeError, match="AnnData"):
        method.function(thing)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"n_clusters": 1}, ValueError, "`n_clusters` must be between 2 and 300"),
        ({"n_clusters": 301}, ValueError, "`n_clusters` must be between 2 and 300"),
        ({"n_clusters": 2.5}, TypeError, "`n_clusters` must be a whole number"),
        ({"n_clusters": "8"}, TypeError, "`n_clusters` must be a whole number"),
        ({"n_clusters": True}, TypeError, "`n_clusters` must be a whole number"),
        ({"layer": "counts"}, ValueError, "Unknown `layer`: 'counts'"),
        ({"mask_var": "variable"}, ValueError, "Unknown `mask_var`: 'variable'"),
        ({"mask_var": "name"}, ValueError, "one True or False per gene"),
        ({"mask_var": np.ones(3, dtype=bool)}, ValueError, "one True or False per gene"),
        ({"mask_var": np.arange(765)}, ValueError, "one True or False per gene"),
        ({"mask_var": np.zeros(765, dtype=bool)}, ValueError, "Only 0 of the selected genes"),
        ({"mask_var": None, "n_top_genes": 100}, ValueError, "either `mask_var` or `n_top_genes`"),
        ({"n_top_genes": 0}, ValueError, "`n_top_genes` must be at least"),
        ({"cluster": "dbscan"}, ValueError, "Unknown `cluster`: 'dbscan'.*'kmeans'"),
        ({"recipe": "fast"}, ValueError, "Unknown `recipe`: 'fast'.*'default', 'paper'"),
        ({"accelerator": "warp"}, ValueError, "accelerator='warp'.*\"auto\""),
        ({"accelerator": "cpu", "devices": "many"}, ValueError, "devices='many'"),
        ({"max_epochs": 0}, ValueError, "`max_epochs` must be at least 1"),
        ({"max_epochs": 2.0}, TypeError, "`max_epochs` must be a whole number"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 2"),
        ({"batch_size": -5}, ValueError, "`batch_size` must be at least 2"),
        ({"n_runs": 0}, ValueError, "`n_runs` must be at least 1"),
        ({"n_latent": 0}, ValueError, "`n_latent` must be at least 1"),
        ({"key_added": ""}, ValueError, "`key_added=''` must not be empty"),
        ({"key_added": 3}, TypeError, "`key_added` must be a string"),
        ({"key_added": "bulk_labels"}, ValueError, r"would overwrite adata.obs\['bulk_labels'\].*another `key_added`"),
        ({"key_added": "pca"}, ValueError, r"would overwrite adata.obsm\['X_pca'\]"),
        ({"rng": "0"}, TypeError, "`rng` must be a whole number or a numpy.random.Generator"),
        ({"rng": -1}, ValueError, "`rng` must be at least 0"),
        ({"model_dir": "."}, ValueError, "exists already"),
        ({"model_kwargs": {"n_hiden": 3}}, TypeError, "Unknown entries of `model_kwargs`: n_hiden.*n_hidden"),
        ({"model_kwargs": 3}, TypeError, "`model_kwargs` must be a dict"),
        ({"train_kwargs": {"epochs": 3}}, TypeError, "Unknown entries of `train_kwargs`: epochs"),
        ({"train_kwargs": {"max_epochs": 3}}, TypeError, "Unknown entries of `train_kwargs`: max_epochs"),
    ],
    ids=lambda value: next(iter(value), None) if isinstance(value, dict) else "",
)
def test_bad_argument(refuses, pbmc, kwargs, error, match):
    pbmc.var["name"] = pbmc.var_names
    pbmc.obsm["X_pca"] = np.zeros((pbmc.n_obs, 2))
    refuses(pbmc, error, match, **kwargs)


def test_log_transformed_names_the_layer_with_counts(refuses, pbmc):
    pbmc.layers["counts"] = pbmc.X.copy()
    sc.pp.normalize_total(pbmc)
    sc.pp.log1p(pbmc)
    refuses(pbmc, ValueError, "log-transformed.*`layer='counts'`")


def test_log_transformed_without_counts(refuses, pbmc):
    sc.pp.log1p(pbmc)
    refuses(pbmc, ValueError, 'log-transformed.*adata.layers\\["counts"\\]')


def test_logged_layer_points_to_x(refuses, pbmc):
    pbmc.layers["logged"] = pbmc.X.log1p()
    refuses(pbmc, ValueError, "`adata.layers\\['logged'\\]` looks log-transformed.*`layer=None`", layer="logged")


def test_scaled(refuses, pbmc):
    sc.pp.log1p(pbmc)
    sc.pp.scale(pbmc)
    refuses(pbmc, ValueError, "negative values, so it looks scaled")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(refuses, pbmc, value):
    pbmc.X.data[3] = value
    refuses(pbmc, ValueError, "1 values that are NaN or infinite")


def test_cells_without_counts(refuses, pbmc):
    matrix = pbmc.X.tolil()
    matrix[[2, 5]] = 0
    pbmc.layers["counts"] = matrix.tocsr()
    refuses(
        pbmc,
        ValueError,
        r"2 of 300 cells.*adata\[adata.layers\['counts'\].sum\(axis=1\) > 0\].copy\(\)",
        layer="counts",
    )
    pbmc.X = matrix.tocsr()
    refuses(pbmc, ValueError, r"2 of 300 cells have no counts.*`sc.pp.filter_cells\(adata, min_counts=1\)`")


@pytest.mark.parametrize(
    "remedy",
    ["sc.pp.filter_cells(adata, min_counts=1)", "adata = adata[adata.layers['counts'].sum(axis=1) > 0].copy()"],
)
def test_remedy_for_cells_without_counts_works(pbmc, remedy):
    matrix = pbmc.X.tolil()
    matrix[[2, 5]] = 0
    pbmc.X = matrix.tocsr()
    pbmc.layers["counts"] = pbmc.X.copy()
    scope = {"adata": pbmc, "sc": sc}
    exec(remedy, scope)
    assert scope["adata"].n_obs == 298


def test_no_x(refuses, pbmc):
    pbmc.layers["counts"] = pbmc.X.copy()
    del pbmc.X
    refuses(pbmc, ValueError, r"`adata.X` is empty.*\['counts'\]")


def test_too_few_cells(refuses, pbmc):
    refuses(pbmc[:9].copy(), ValueError, "has 9 cells; training needs at least 10")


def test_too_few_genes(refuses, pbmc):
    refuses(pbmc[:, :4].copy(), ValueError, "has 4 genes; training needs at least 5")


def test_fractional_counts_pass_with_one_warning(method, pbmc):
    pbmc.X = (pbmc.X * 0.75).tocsr()
    pbmc.X.data[::2] = np.ceil(pbmc.X.data[::2])
    with pytest.warns(UserWarning) as caught:
        method.run(pbmc)
    assert [w for w in caught if "fractional" in str(w.message)]
    assert not [w for w in caught if "unnormalized" in str(w.message)]
    assert method.name in pbmc.obs


def test_genes_without_counts_are_left_out_quietly(method, pbmc, recwarn):
    silent = pbmc.X.tolil()
    silent[:, 10:400] = 0
    pbmc.X = silent.tocsr()
    method.run(pbmc, n_top_genes=None, mask_var=None)
    assert pbmc.uns[method.name]["params"]["n_genes"] == (pbmc.X.getnnz(axis=0) > 0).sum()
    assert not [w for w in recwarn if "gene" in str(w.message)]


@given(
    depth=st.floats(0.2, 30),
    kept=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
)
def test_fractions_of_counts_are_no_logarithms(depth, kept, seed):
    """Whatever share of each count ambient correction leaves, deep enough counts are not taken for logarithms."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.3, depth / 0.3, size=(1, 60)), size=(50, 60)).astype(np.float32)
    counts[:, 0] += 100
    matrix = sparse.csr_matrix(counts * np.float32(kept))
    matrix.eliminate_zeros()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _counts.check_counts(matrix, None, None)


@given(base=st.sampled_from([np.e, 2.0, 10.0]), target=st.sampled_from([1.0, 1e4, 1e6]), seed=st.integers(0, 1000))
def test_logarithms_are_recognised(base, target, seed):
    import anndata as ad

    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, size=(50, 60)) + rng.integers(1, 3, size=(50, 60))
    logged = np.log1p(counts / counts.sum(axis=1, keepdims=True) * target) / np.log(base)
    adata = ad.AnnData(sparse.csr_matrix(logged.astype(np.float32)))
    with pytest.raises(ValueError, match="log-transformed"):
        _counts.check_counts(adata.X, adata, None)
