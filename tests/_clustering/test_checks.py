"""The number of clusters that is told is the one that is there, and clusters that separate nothing
say so.
"""

import dataclasses
import warnings

import numpy as np
import pytest

import scx
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.checks import check_partition
from scx._clustering.confidence import posterior
from scx._clustering.rules import NearestCenter
from scx._clustering.types import Partition, Prediction


@pytest.fixture
def adata(pbmc):
    """Sixty cells with three groups far apart, and other embeddings."""
    rng = np.random.default_rng(0)
    cells = pbmc[:60].copy()
    groups = np.repeat(np.arange(3), 20)
    cells.obsm["X_groups"] = (10 * np.eye(3)[groups] + rng.normal(0, 0.1, (60, 3))).astype(np.float32)
    cells.obsm["X_constant"] = np.full((60, 4), 0.3, dtype=np.float32)
    cells.obsm["X_three"] = np.eye(3, dtype=np.float32)[groups]
    return cells


@pytest.mark.parametrize("method", ALGORITHMS)
@pytest.mark.parametrize("n_clusters", [None, 2, 5, 60])
def test_a_constant_embedding_has_one_cluster_and_no_confidence(adata, method, n_clusters):
    with pytest.warns(UserWarning, match="The clusters separate nothing|not the") as told:
        scx.tl.cluster(adata, n_clusters, use_rep="X_constant", method=method)
    assert any("separate nothing" in str(one.message) for one in told)
    assert any("not the" in str(one.message) for one in told) is (n_clusters is not None)
    assert adata.obs["cluster"].nunique() == 1
    np.testing.assert_allclose(adata.obs["cluster_confidence"], 1 / (n_clusters or 2))
    number = adata.uns["cluster"]["n_clusters"]
    assert number["chosen"] == 1
    assert number.get("asked") == n_clusters


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_fewer_clusters_than_asked_for_are_told(adata, method):
    with pytest.warns(UserWarning, match="There are 3 clusters, not the 5 that `n_clusters` asks for") as told:
        scx.tl.cluster(adata, 5, use_rep="X_three", method=method)
    assert len(told) == 1
    assert adata.obs["cluster"].nunique() == 3
    assert adata.uns["cluster"]["n_clusters"] == {"asked": 5, "chosen": 3, "reason": "given; 3 found"}


@pytest.mark.parametrize("method", ALGORITHMS)
@pytest.mark.parametrize("n_clusters", [None, 3])
def test_what_is_found_as_asked_for_does_not_warn(adata, method, n_clusters):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        scx.tl.cluster(adata, n_clusters, use_rep="X_groups", method=method)
    number = adata.uns["cluster"]["n_clusters"]
    assert number["chosen"] == adata.obs["cluster"].nunique()
    assert number.get("asked") == n_clusters


@pytest.mark.parametrize("method", ALGORITHMS)
@pytest.mark.parametrize("n_clusters", [59, 60])
def test_as_many_clusters_as_cells(adata, method, n_clusters):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There are .* clusters, not the")
        scx.tl.cluster(adata, n_clusters, use_rep="X_groups", method=method)
    assert adata.uns["cluster"]["n_clusters"]["chosen"] == adata.obs["cluster"].nunique()
    if n_clusters == adata.n_obs:
        assert adata.obs["cluster"].nunique() == n_clusters


def test_more_clusters_than_the_sample_has_cells(monkeypatch):
    from dataclasses import replace

    from scx._clustering.algorithms import run_algorithm

    monkeypatch.setitem(ALGORITHMS, "ward", replace(ALGORITHMS["ward"], max_cells=10))
    labels, _, n_fitted = run_algorithm("ward", np.random.default_rng(0).normal(size=(50, 2)), 20, 0)
    assert n_fitted == 20
    assert len(np.unique(labels)) == 20


def test_clusters_at_random_warn(adata, monkeypatch):
    from scx._clustering import fit

    def at_random(name, embedding, n_clusters, seed):
        return np.arange(len(embedding)) % n_clusters, NearestCenter(embedding[:n_clusters]), len(embedding)

    monkeypatch.setattr(fit, "run_algorithm", at_random)
    with pytest.warns(UserWarning, match="as near to the means of other clusters"):
        scx.tl.cluster(adata, 4, use_rep="X_three")
    assert adata.obs["cluster_confidence"].mean() < 0.3


def test_consensus_tells_what_was_asked_for(adata):
    adata.obs["a"] = adata.obs["b"] = np.repeat(["x", "y"], 30)
    with pytest.warns(UserWarning, match="There are 2 clusters, not the 4"):
        scx.tl.consensus(adata, ["a", "b"], 4)
    assert adata.uns["consensus"]["n_clusters"]["chosen"] == 2
    assert adata.uns["consensus"]["n_clusters"]["asked"] == 4


def test_confidence_of_a_far_off_embedding_is_that_of_a_near_one():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    near = rng.normal(size=(100, 3)) + 5 * labels[:, None]
    np.testing.assert_allclose(posterior(near + 1e5, labels), posterior(near, labels), atol=1e-5)


def test_number_of_clusters_found_is_told_beside_the_one_asked_for():
    sure = np.full(6, 0.9, dtype=np.float32)
    info = {"n_clusters": {"chosen": 3, "reason": "given", "n_cells": 6}, "cluster": "kmeans"}
    found = Partition(np.array([0, 0, 1, 1, 2, 2]), confidence=sure, info=info)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = check_partition(found, 3)
        assert same.info == {**info, "n_clusters": {"chosen": 3, "asked": 3, "reason": "given", "n_cells": 6}}
        assert check_partition(found, None).info == info
    fewer = dataclasses.replace(found, labels=np.array([0, 0, 1, 1, 1, 1]))
    with pytest.warns(
        UserWarning, match=r"^There are 2 clusters, not the 3 that `n_clusters` asks for \(given; 2 found\)"
    ):
        number = check_partition(fewer, 3).info["n_clusters"]
    assert number == {"chosen": 2, "asked": 3, "reason": "given; 2 found", "n_cells": 6}


def test_clusters_that_separate_nothing_warn():
    """All cells in one cluster, or cells less sure of theirs than of one drawn at random."""
    info = {"n_clusters": {"chosen": 2, "reason": "given"}}
    unsure = Partition(np.arange(6) % 2, confidence=np.full(6, 0.3, dtype=np.float32), info=info)
    with pytest.warns(UserWarning, match=r"^The clusters separate nothing: cells are as near .* their own\. Look at"):
        check_partition(unsure, 2)
    one = dataclasses.replace(unsure, labels=np.zeros(6, dtype=int), info={"n_clusters": {"chosen": 1, "reason": "x"}})
    with pytest.warns(UserWarning, match=r"^The clusters separate nothing: all cells are in one\. Look at"):
        check_partition(one, None)
    types = Prediction(("a", "b"), np.full((6, 2), 0.5, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_partition(dataclasses.replace(unsure, prediction=types), 2)
        check_partition(dataclasses.replace(unsure, confidence=None), 2)
