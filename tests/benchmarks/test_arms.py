from functools import wraps

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

import arms
import scx
from data import UNLABELED, give_labels, read
from scx._methods import METHODS


@pytest.mark.parametrize(
    ("name", "package", "settings"),
    [
        *((f"{method}:{recipe}", "scx", {"given", "chosen"}) for method in METHODS for recipe in ("default", "paper")),
        ("ensemble", "scx", {"given", "chosen"}),
        ("ensemble:members={'pca': 2}", "scx", {"given", "chosen"}),
        ("pca20:leiden", "scanpy", {"given", "chosen"}),
        ("pca7:kmeans", "scanpy", {"given"}),
        ("pca20:gap", "scanpy", {"chosen"}),
        ("pca50:logistic", "scanpy", {"labels"}),
        ("scvi:leiden", "scvi_tools", {"given", "chosen"}),
        ("drvi:kmeans", "scvi_tools", {"given"}),
        ("scanvi", "scvi_tools", {"labels"}),
    ],
)
def test_parse(name, package, settings):
    arm = arms.parse(name)
    assert (arm.name, arm.package) == (name, package)
    reads_labels = "labels" in getattr(METHODS.get(name.split(":")[0]), "obs_fields", ())
    assert arm.settings == settings | ({"labels"} if reads_labels else set())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "starts with one of cicl"),
        ("pca:kmeans", "starts with one of cicl"),
        ("pca20", "comes one of kmeans"),
        ("pca20:ward", "comes one of kmeans"),
        ("contrastive", "contrastive:default or contrastive:paper"),
        ("contrastive:default:lr", "name=value"),
        ("contrastive:default:lr=f(1)", "name=value"),
    ],
)
def test_parse_says_what_there_is(name, message):
    with pytest.raises(SystemExit, match=message):
        arms.parse(name)


@pytest.mark.slow
def test_changes_reach_function_plan_and_model(monkeypatch, pbmc):
    calls = []
    original = scx.tl.contrastive

    @wraps(original)
    def record(adata, n_clusters, **kwargs):
        calls.append(kwargs)
        return original(adata, n_clusters, **(kwargs | {"max_epochs": 1}))

    monkeypatch.setattr("scx.tl._contrastive.contrastive", record)
    arms.parse("contrastive:default:max_epochs=3,lr=0.1,mask_rate=0.5,cluster='ward'").fit(pbmc, 3, 5)
    (call,) = calls
    assert call["max_epochs"] == 3 and call["cluster"] == "ward" and call["rng"] == 5
    assert call["train_kwargs"] == {"plan_kwargs": {"lr": 0.1}}
    assert call["model_kwargs"] == {"mask_rate": 0.5}


@pytest.mark.slow
def test_clusterings_find_blobs():
    embedding, truth = make_blobs(400, 5, centers=6, cluster_std=0.3, random_state=1)
    embedding = embedding.astype(np.float32)
    for name, k in [("kmeans", 6), ("gap", None), ("silhouette", None), ("leiden", 6)]:
        found = arms.CLUSTERINGS[name][1](embedding, k, 0)
        assert adjusted_rand_score(truth, found) > 0.99, name
    assert len(np.unique(arms.leiden(embedding, 11, 0))) == 11


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`n_top_genes`")
@pytest.mark.parametrize("name", ["pca50:logistic", "pca50:knn"])
def test_classifiers_see_labels_only_where_given(pbmc, name):
    truth = pbmc.obs["bulk_labels"].to_numpy().astype(str)
    pbmc.obs["given"] = give_labels(truth, "0.3", 0)
    found = arms.parse(name).fit(pbmc, None, 0)
    hidden = pbmc.obs["given"].to_numpy() == UNLABELED
    assert np.mean(found.prediction[hidden] == truth[hidden]) > 0.6
    assert ((found.confidence > 0) & (found.confidence <= 1)).all()


def test_labels_are_drawn_by_type():
    truth = np.repeat(["a", "b", "c"], [200, 40, 3])
    for spec, expected in [("0.2", [40, 8, 1]), ("0.01", [2, 1, 1]), ("20", [20, 20, 3])]:
        given = give_labels(truth, spec, 0)
        assert [(given == name).sum() for name in "abc"] == expected
        assert (given[given != UNLABELED] == truth[given != UNLABELED]).all()
    given = give_labels(truth, "0.2:wrong", 0)
    told = given != UNLABELED
    assert told.sum() == 49 and (given[told] != truth[told]).sum() == 10
    with pytest.raises(ValueError, match="Unknown kind"):
        give_labels(truth, "0.2:right", 0)


def test_data_hold_no_labels():
    adata, truth = read("simulated_4_unbalanced")
    assert list(adata.obs) == list(adata.var) == list(adata.obsm) == []
    sizes = np.unique(truth, return_counts=True)[1]
    assert len(sizes) == 4 and sizes.max() > 5 * sizes.min()
