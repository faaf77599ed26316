import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import scx


@pytest.fixture(scope="module")
def clustered():
    """Simulated cells, their groups, and clusterings with as many clusters that are worse."""
    adata = scx.datasets.simulate(300, 400, group_probs=[0.5, 0.3, 0.2], de_prob=0.2, de_scale=0.6)
    rng = np.random.default_rng(0)
    truth = adata.obs["group"].cat.codes.to_numpy()
    for name, share in (("some", 0.1), ("many", 0.3)):
        moved = rng.random(300) < share
        adata.obs[name] = np.where(moved, rng.integers(0, 3, 300), truth).astype(str)
    order = np.argsort(np.asarray(adata.X.sum(axis=1)).ravel())
    adata.obs["depth"] = np.searchsorted([100, 200], np.argsort(order), side="right").astype(str)
    split = np.where((truth == 0) & (rng.random(300) < 0.5), 3, truth)
    adata.obs["split"] = np.where(split == 2, 1, split).astype(str)  # the largest group in two, the others in one
    return adata


KEYS = ["some", "depth", "group", "many", "split"]


def test_the_truth_is_best(clustered):
    table = scx.metrics.count_evidence(clustered, KEYS)
    assert list(table.index) == KEYS
    for column in ("score", "deviance_explained", "log_likelihood", "stability"):
        assert table[column].idxmax() == "group", column
    assert (table["n_clusters"] == 3).all()
    assert table["deviance_explained"].between(0, 1).all()
    others = [adjusted_rand_score(clustered.obs["group"], clustered.obs[key]) for key in KEYS if key != "group"]
    assert table.loc["group", "agreement"] == pytest.approx(np.mean(others))


def test_storage_order_and_names_do_not_matter(clustered):
    expected = scx.metrics.count_evidence(clustered, KEYS)
    other = ad.AnnData(sparse.csc_matrix(clustered.X).astype(np.int64), obs=clustered.obs.copy())
    other.layers["raw"] = other.X
    other.X = np.zeros(other.shape)
    other.obs["group"] = other.obs["group"].astype(str).map(lambda name: f"type {name}")
    found = scx.metrics.count_evidence(other, KEYS, layer="raw")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    shuffled = other[np.random.default_rng(1).permutation(300)].copy()
    again = scx.metrics.count_evidence(shuffled, KEYS, layer="raw").drop(columns="stability")  # other halves
    np.testing.assert_allclose(again, expected.drop(columns="stability"), rtol=1e-6)


def test_one_clustering(clustered):
    table = scx.metrics.count_evidence(clustered, "group")
    assert table[["score", "agreement"]].isna().all(axis=None)
    assert table["deviance_explained"].item() > 0


def test_scores_of_an_ensemble_are_these_scores(clustered):
    adata = clustered.copy()
    scx.tl.ensemble(adata, 3, members={"pca": 1})
    record = adata.uns["ensemble"]
    best = record["clusterings"]["deviance_explained"][record["chosen"]]
    table = scx.metrics.count_evidence(adata, ["ensemble", "group"])
    assert table.loc["ensemble", "deviance_explained"] == pytest.approx(best)


def test_cells_without_a_cluster(clustered):
    adata = clustered.copy()
    adata.obs["gap"] = adata.obs["some"].where(np.arange(300) > 0)
    with pytest.raises(ValueError, match="1 of 300 cells have no cluster"):
        scx.metrics.count_evidence(adata, ["group", "gap"])
