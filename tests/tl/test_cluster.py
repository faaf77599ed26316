"""scx.tl.cluster and scx.tl.consensus: what they write, refuse, and leave alone."""

import anndata as ad
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import scx
from scx._rng import spawn_seeds


def test_writes_clusters_confidence_and_the_record(embedded):
    before = embedded.copy()
    assert scx.tl.cluster(embedded, use_rep="X_rep", method="gmm", key_added="mine", rng=3) is None
    assert set(embedded.obs) - set(before.obs) == {"mine", "mine_confidence"}
    assert set(embedded.obsm) == set(before.obsm)
    assert set(embedded.uns) - set(before.uns) == {"mine"}
    assert list(embedded.obs["mine"].cat.categories) == ["0", "1", "2"]
    assert adjusted_rand_score(embedded.obs["mine"], embedded.obs["groups"]) == 1
    record = embedded.uns["mine"]
    assert record["params"] == {"method": "gmm", "use_rep": "X_rep", "rng": 3}
    assert record["n_clusters"]["chosen"] == 3
    assert record["n_cells_fitted"] == 300


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_curves_survive_on_disk(embedded, kind, tmp_path):
    scx.tl.cluster(embedded, use_rep="X_rep")
    path = tmp_path / f"data.{kind}"
    getattr(embedded, f"write_{kind}")(path)
    number = getattr(ad, f"read_{kind}")(path).uns["cluster"]["n_clusters"]
    np.testing.assert_array_equal(number["score"], embedded.uns["cluster"]["n_clusters"]["score"])
    assert str(number["reason"]) == embedded.uns["cluster"]["n_clusters"]["reason"]


def test_is_what_the_methods_use(method, pbmc):
    method.run(pbmc, 4, cluster="ward")
    scx.tl.cluster(pbmc, 4, use_rep=f"X_{method.name}", method="ward")
    assert pbmc.obs["cluster"].tolist() == pbmc.obs[method.name].tolist()
    np.testing.assert_array_equal(pbmc.obs["cluster_confidence"], pbmc.obs[f"{method.name}_confidence"])


def test_clustering_a_methods_embedding_under_its_name_keeps_the_embedding(method, pbmc):
    method.run(pbmc, 4)
    embedding = pbmc.obsm[f"X_{method.name}"].copy()
    scx.tl.cluster(pbmc, 5, use_rep=f"X_{method.name}", key_added=method.name)
    assert pbmc.obs[method.name].nunique() == 5
    np.testing.assert_array_equal(pbmc.obsm[f"X_{method.name}"], embedding)


def test_needs_no_expression():
    adata = ad.AnnData(obsm={"X_rep": np.random.default_rng(0).normal(size=(60, 3))})
    scx.tl.cluster(adata, 4, use_rep="X_rep")
    assert adata.obs["cluster"].nunique() == 4


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"use_rep": "X_pca"}, ValueError, "Unknown `use_rep`: 'X_pca'. `adata.obsm` holds 'X_rep'"),
        ({"method": "dbscan"}, ValueError, "Unknown `method`: 'dbscan'"),
        ({"n_clusters": 1}, ValueError, "`n_clusters` must be between 2 and 300"),
        ({"key_added": "groups"}, ValueError, "would overwrite"),
        ({"rng": -1}, ValueError, "`rng` must be at least 0"),
    ],
)
def test_bad_argument(embedded, kwargs, error, match):
    columns = list(embedded.obs)
    with pytest.raises(error, match=match):
        scx.tl.cluster(embedded, **{"use_rep": "X_rep", **kwargs})
    assert list(embedded.obs) == columns


def test_embedding_that_is_not_finite(embedded):
    embedded.obsm["X_rep"][3, 1] = np.nan
    with pytest.raises(ValueError, match=r"`adata.obsm\['X_rep'\]` holds 1 values that are NaN"):
        scx.tl.cluster(embedded, 3, use_rep="X_rep")


@pytest.mark.parametrize("name", ["pollen", "cellbench_5lines"])
def test_number_of_types_of_real_data(real_data, name):
    import scanpy as sc

    adata = real_data(name)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000, subset=True)
    sc.pp.pca(adata, n_comps=20)
    scx.tl.cluster(adata, use_rep="X_pca")
    k = adata.obs["cell_type"].nunique()
    assert abs(adata.uns["cluster"]["n_clusters"]["chosen"] - k) <= 0.25 * k


def leiden_of_scanpy(embedding, resolution, seed):
    import scanpy as sc

    graph = ad.AnnData(obsm={"X": embedding})
    sc.pp.neighbors(graph, n_neighbors=15, use_rep="X", random_state=seed)
    sc.tl.leiden(graph, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
    return graph.obs["leiden"]


@pytest.mark.parametrize("resolution", [None, 0.3, np.float32(2)])
def test_leiden_without_a_number_finds_it_at_the_resolution(embedded, resolution):
    scx.tl.cluster(embedded, use_rep="X_rep", method="leiden", resolution=resolution)
    value = 1.0 if resolution is None else float(resolution)
    expected = leiden_of_scanpy(embedded.obsm["X_rep"], value, *spawn_seeds(0, 1))
    assert embedded.obs["cluster"].nunique() == expected.nunique()
    assert adjusted_rand_score(embedded.obs["cluster"], expected) == 1
    number = embedded.uns["cluster"]["n_clusters"]
    assert number == {
        "chosen": expected.nunique(),
        "reason": f"Leiden at resolution {value}",
        "resolution": value,
    }


def test_methods_leave_the_number_to_leiden(method, pbmc, tmp_path):
    key = method.name
    method.run(pbmc, None, cluster="leiden")
    number = pbmc.uns[key]["n_clusters"]
    assert number["reason"] == "Leiden at resolution 1.0"
    assert number["chosen"] == pbmc.obs[key].nunique()
    method.run(pbmc, None, cluster="leiden", resolution=4, key_added="finer")
    assert pbmc.obs["finer"].nunique() > pbmc.obs[key].nunique()
    assert pbmc.uns["finer"]["n_clusters"]["resolution"] == 4.0
    pbmc.write_h5ad(tmp_path / "out.h5ad")


def test_number_that_leiden_finds_on_a_sample(monkeypatch):
    import dataclasses

    from sklearn.datasets import make_blobs

    from scx._clustering import algorithms as _algorithms

    embedding, truth = make_blobs([900, 450, 150], centers=np.eye(3) * 12, random_state=1)
    small = dataclasses.replace(_algorithms.ALGORITHMS["leiden"], max_cells=300)
    monkeypatch.setitem(_algorithms.ALGORITHMS, "leiden", small)
    adata = ad.AnnData(obsm={"X_rep": embedding.astype(np.float32)})
    scx.tl.cluster(adata, use_rep="X_rep", method="leiden", resolution=0.05)
    assert adata.uns["cluster"]["n_cells_fitted"] == 300
    assert adata.uns["cluster"]["n_clusters"]["chosen"] == adata.obs["cluster"].nunique() == 3
    assert adjusted_rand_score(adata.obs["cluster"], truth) > 0.99


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"resolution": 1.0}, r'`resolution` is only for Leiden.*Pass `{name}="leiden"`'),
        ({"resolution": 1.0, "{name}": "leiden", "n_clusters": 3}, "either `n_clusters` or `resolution`"),
        ({"resolution": 0.0, "{name}": "leiden"}, "`resolution` must be a number, above 0"),
        ({"resolution": float("nan"), "{name}": "leiden"}, "`resolution` must be a number"),
    ],
)
def test_resolution_that_is_not_used(embedded, pbmc, method, kwargs, match):
    for adata, function, name in ((embedded, scx.tl.cluster, "method"), (pbmc, method.function, "cluster")):
        arguments = {key.format(name=name): value for key, value in kwargs.items()}
        arguments |= {"use_rep": "X_rep"} if name == "method" else {}
        with pytest.raises(ValueError, match=match.format(name=name)):
            function(adata, **arguments)


def test_resolution_with_labels(pbmc):
    pbmc.obs["some"] = pbmc.obs["bulk_labels"].astype(str).replace("Dendritic", "Unknown")
    with pytest.raises(ValueError, match="`resolution` is not used with labels"):
        scx.tl.semiaae(pbmc, labels_key="some", cluster="leiden", resolution=1.0)
