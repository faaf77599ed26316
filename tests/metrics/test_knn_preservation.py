import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import scx


def by_loop(reference, embedding, k):
    """The definition, cell by cell."""
    shares = []
    for i in range(len(reference)):
        sets = []
        for points in (reference, embedding):
            distances = ((points - points[i]) ** 2).sum(axis=1)
            distances[i] = np.inf
            sets.append(set(np.argsort(distances)[:k]))
        shares.append(len(sets[0] & sets[1]) / k)
    return np.mean(shares)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    return ad.AnnData(x, obsm={"X_pca": x[:, :3], "X_same": 2 * x, "X_noise": rng.normal(size=(60, 2))})


@pytest.mark.parametrize("k", [1, 5, 58])
def test_is_the_definition(cells, k):
    value = scx.metrics.knn_preservation(cells, "X_pca", k=k)
    assert value == pytest.approx(by_loop(cells.X, cells.obsm["X_pca"], k))
    pair = scx.metrics.knn_preservation(cells, "X_noise", reference="X_pca", k=k)
    assert pair == pytest.approx(by_loop(cells.obsm["X_pca"], cells.obsm["X_noise"], k))


def test_ranks_are_right_in_arrays_that_are_not_sorted_whole():
    """numpy partitions rows of up to 256 by sorting them; it does not with 400 neighbours among 900 cells."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 5))
    adata = ad.AnnData(x, obsm={"X_pca": x[:, :3]})
    ks = [1, 4, 400]
    values = scx.metrics.knn_preservation(adata, "X_pca", k=ks)
    np.testing.assert_allclose(values, [by_loop(x, x[:, :3], k) for k in ks])
    assert scx.metrics.knn_preservation(adata, "X_pca", k=1) == pytest.approx(values[0])


def test_no_neighbour_is_kept():
    pairs = ad.AnnData(np.array([[0.0], [1.0], [10.0], [11.0]]), obsm={"X_other": np.array([[0.0], [10], [1], [11]])})
    assert scx.metrics.knn_preservation(pairs, "X_other", k=1) == 0


def test_defaults_are_those_of_the_signature_and_the_seed_repeats():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2050, 3))
    adata = ad.AnnData(x, obsm={"X_pca": x[:, :2]})
    value = scx.metrics.knn_preservation(adata, "X_pca")
    assert value == scx.metrics.knn_preservation(adata, "X_pca", k=30, max_cells=2000, rng=0)
    assert value != scx.metrics.knn_preservation(adata, "X_pca", rng=1)
    drawn = [scx.metrics.knn_preservation(adata, "X_pca", rng=np.random.default_rng(1)) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_several_k_are_those_of_each(cells):
    ks = [7, 1, 59, 20]
    values = scx.metrics.knn_preservation(cells, "X_pca", k=ks)
    np.testing.assert_allclose(values, [scx.metrics.knn_preservation(cells, "X_pca", k=k) for k in ks])
    assert values[2] == 1  # every other cell is a neighbour in both


def test_sparse_input_and_bounds(cells):
    assert scx.metrics.knn_preservation(cells, "X_same", k=9) == 1
    dense = scx.metrics.knn_preservation(cells, "X_pca", k=9)
    cells.X = sparse.csr_matrix(cells.X)
    assert scx.metrics.knn_preservation(cells, "X_pca", k=9) == pytest.approx(dense)


def test_sample_estimates_the_whole():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4))
    adata = ad.AnnData(x, obsm={"X_pca": x[:, :2]})
    whole = scx.metrics.knn_preservation(adata, "X_pca", k=50, max_cells=3000)
    assert scx.metrics.knn_preservation(adata, "X_pca", k=50, max_cells=600) == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"use_rep": "X_umap"}, ValueError, "X_pca"),
        ({"use_rep": "X_pca", "reference": "X_umap"}, ValueError, "X_pca"),
        ({"use_rep": "X_pca", "k": 60}, ValueError, r"`k` must be between 1 and 59 \(the number of other cells\), got"),
        ({"use_rep": "X_pca", "max_cells": 0}, ValueError, "`max_cells` must be at least 1"),
        ({"use_rep": "X_pca", "k": 2.5}, TypeError, "whole number"),
        ({"use_rep": "X_pca", "rng": None}, TypeError, "rng"),
    ],
)
def test_says_what_is_wrong(cells, arguments, error, message):
    with pytest.raises(error, match=message):
        scx.metrics.knn_preservation(cells, **arguments)
