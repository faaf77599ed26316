import dataclasses

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from scx._clustering import arrays
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.confidence import posterior
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import choose_n_clusters


@pytest.mark.parametrize("method", ALGORITHMS)
def test_finds_separate_groups(blobs, method):
    embedding, truth = blobs
    found = fit_partition(embedding, 5, method, seed=0)
    assert adjusted_rand_score(truth, found.labels) == pytest.approx(1)
    assert np.bincount(found.labels).tolist() == [200, 100, 60, 40, 20]
    assert found.info == {
        "n_clusters": {"chosen": 5, "reason": "given"},
        "cluster": method,
        "n_cells_fitted": 420,
    }


@pytest.mark.parametrize("method", ALGORITHMS)
def test_fitted_on_a_sample_the_others_are_carried_over(monkeypatch, method):
    embedding, truth = make_blobs([3000, 1500, 600], centers=np.eye(3) * 12, random_state=1)
    algorithm = dataclasses.replace(ALGORITHMS[method], max_cells=400)
    monkeypatch.setitem(ALGORITHMS, method, algorithm)
    monkeypatch.setattr(arrays, "CHUNK", 1000)
    found = fit_partition(embedding.astype(np.float32), 3, method, seed=0)
    assert found.info["n_cells_fitted"] == 400
    assert adjusted_rand_score(truth, found.labels) > 0.99


@pytest.mark.parametrize("method", ALGORITHMS)
def test_as_many_clusters_as_asked_for_on_few_or_uniform_cells(method):
    embedding = np.random.default_rng(0).uniform(size=(40, 3)).astype(np.float32)
    found = fit_partition(embedding, 6, method, seed=0)
    assert found.n_clusters == 6
    assert np.isfinite(found.confidence).all()


@pytest.mark.parametrize("method", ALGORITHMS)
def test_embedding_is_left_as_it_was_and_seed_repeats(blobs, method):
    embedding = blobs[0].astype(np.float32)
    before = embedding.copy()
    first, second = (fit_partition(embedding, 8, method, seed=4) for _ in range(2))
    np.testing.assert_array_equal(embedding, before)
    np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize("method", ["kmeans", "gmm", "leiden"])
def test_uncertain_cells_are_the_wrong_ones(method):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    embedding = rng.normal(size=(2000, 5)) + 3.2 * np.eye(5)[truth]
    found = fit_partition(embedding, 4, method, seed=0)
    wrong = contingency_matrix(truth, found.labels).argmax(axis=0)[found.labels] != truth
    low = found.confidence <= np.quantile(found.confidence, 0.1)
    assert wrong[low].mean() > 3 * wrong[~low].mean()


def test_number_of_clusters_is_chosen_where_none_is_given(blobs):
    embedding = blobs[0][::4]
    found = fit_partition(embedding, None, "kmeans", seed=2)
    chosen = choose_n_clusters(embedding, 2)
    assert found.n_clusters == found.info["n_clusters"]["chosen"] == chosen.chosen
    np.testing.assert_array_equal(found.info["n_clusters"]["score"], chosen.info["score"])
    np.testing.assert_array_equal(found.confidence, posterior(embedding, found.labels))


def test_leiden_at_a_resolution_is_that_of_scanpy(blobs):
    embedding = np.random.default_rng(0).normal(size=(300, 4))
    reference = ad.AnnData(obsm={"X": embedding})
    sc.pp.neighbors(reference, n_neighbors=15, use_rep="X", random_state=3)
    found = {}
    for resolution in (0.4, None):
        found[resolution] = fit_partition(embedding, None, "leiden", seed=3, resolution=resolution)
        used = 1.0 if resolution is None else resolution
        sc.tl.leiden(
            reference, resolution=used, random_state=3, flavor="igraph", n_iterations=2, directed=False, key_added="l"
        )
        assert adjusted_rand_score(reference.obs["l"], found[resolution].labels) == 1
        number = found[resolution].info["n_clusters"]
        assert number["chosen"] == found[resolution].n_clusters == reference.obs["l"].nunique()
        assert number["resolution"] == used
        assert number["reason"] == f"Leiden at resolution {used}"
        assert found[resolution].info["n_cells_fitted"] == 300
    assert found[0.4].n_clusters < found[None].n_clusters


def test_leiden_at_a_resolution_draws_the_same_sample_for_the_same_seed(monkeypatch):
    embedding = np.random.default_rng(0).normal(size=(400, 3))
    algorithm = dataclasses.replace(ALGORITHMS["leiden"], max_cells=150)
    monkeypatch.setitem(ALGORITHMS, "leiden", algorithm)
    first, second = (fit_partition(embedding, None, "leiden", seed=1) for _ in range(2))
    assert first.info["n_cells_fitted"] == 150
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_constant_embedding_is_one_cluster_of_no_confidence():
    found = fit_partition(np.ones((12, 2), dtype=np.float32), 4, "kmeans", 0)
    assert (found.labels == 0).all()
    np.testing.assert_array_equal(found.confidence, np.full(12, 0.25, dtype=np.float32))
    assert found.confidence.dtype == np.float32
    assert found.info == {
        "n_clusters": {"chosen": 1, "reason": "all cells have the same embedding"},
        "cluster": "kmeans",
        "n_cells_fitted": 0,
    }
    assert (fit_partition(np.ones((12, 2)), None, "kmeans", 0).confidence == 0.5).all()
