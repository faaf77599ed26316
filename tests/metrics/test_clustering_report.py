"""Scores of clusterings, against scikit-learn and computations by hand."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

import scx
from metrics.annotated import annotated

codes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=5, max_size=40)


def report(labels, clusters):
    return scx.metrics.clustering_report(annotated(labels, clusters), "labels", "clusters").loc["clusters"]


@given(codes)
def test_against_scikit_learn(pairs):
    labels, clusters = map(np.array, zip(*pairs, strict=True))
    row = report(labels, clusters)
    assert row["ari"] == pytest.approx(metrics.adjusted_rand_score(labels, clusters))
    assert row["nmi"] == pytest.approx(metrics.v_measure_score(labels, clusters))
    assert row["nmi_max"] == pytest.approx(metrics.normalized_mutual_info_score(labels, clusters, average_method="max"))
    assert row["homogeneity"] == pytest.approx(metrics.homogeneity_score(labels, clusters))
    assert row["completeness"] == pytest.approx(metrics.completeness_score(labels, clusters))
    assert row["n_clusters"] == len(set(clusters))
    assert row["n_cells"] == len(labels)


@given(codes)
def test_accuracy_is_that_of_the_best_of_all_matchings(pairs):
    labels, clusters = map(np.array, zip(*pairs, strict=True))
    best = max(np.mean(np.array(p)[clusters] == labels) for p in permutations(range(5)))
    assert report(labels, clusters)["acc"] == pytest.approx(best)


@given(codes, st.permutations(range(5)), st.integers(0, 100))
def test_names_of_clusters_and_order_of_cells_do_not_matter(pairs, names, seed):
    labels, clusters = map(np.array, zip(*pairs, strict=True))
    order = np.random.default_rng(seed).permutation(len(labels))
    first, second = report(labels, clusters), report(labels[order], np.array(names)[clusters][order])
    shared = [name for name in first.index if name != "macro_f1"]  # matchings of equal accuracy can differ in F1
    np.testing.assert_allclose(first[shared].astype(float), second[shared].astype(float), atol=1e-12)


def test_macro_f1_is_that_of_the_matched_clusters():
    labels = np.array([0] * 6 + [1] * 3 + [2] * 2)
    clusters = np.array([1] * 5 + [0] + [0] * 3 + [1] * 2)
    matched = np.array([1, 0])[clusters]
    assert report(labels, clusters)["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, matched, average="macro", zero_division=0)
    )


def test_shape_in_an_embedding():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    embedding = rng.normal(size=(200, 4)) + 3 * labels[:, None]
    adata = annotated(labels, labels, obsm={"X_rep": embedding})
    row = scx.metrics.clustering_report(adata, None, "clusters", use_rep="X_rep").loc["clusters"]
    assert row["silhouette"] == pytest.approx(metrics.silhouette_score(embedding, labels))
    assert row["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(embedding, labels))
    assert set(row.index) == {"silhouette", "calinski_harabasz", "n_clusters", "n_cells"}


@pytest.mark.slow
def test_silhouette_is_sampled_above_ten_thousand_cells():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 12_000)
    embedding = rng.normal(size=(12_000, 2)) + 3 * labels[:, None]
    adata = annotated(labels, labels, obsm={"X_rep": embedding})
    row = scx.metrics.clustering_report(adata, None, "clusters", use_rep="X_rep").loc["clusters"]
    assert row["silhouette"] == pytest.approx(metrics.silhouette_score(embedding, labels), abs=0.01)


def test_single_cluster_has_no_shape():
    adata = annotated([0, 1] * 5, [0] * 10, obsm={"X_rep": np.arange(20.0).reshape(10, 2)})
    row = scx.metrics.clustering_report(adata, "labels", "clusters", use_rep="X_rep").loc["clusters"]
    assert np.isnan(row["silhouette"])
    assert np.isnan(row["calinski_harabasz"])
    assert row["ari"] == 0


def test_subset_and_missing_values():
    labels, clusters = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 0, 0])
    adata = annotated(labels, clusters)
    adata.obs.loc["5", "clusters"] = np.nan
    subset = np.array([True, True, True, True, False, True])
    row = scx.metrics.clustering_report(adata, "labels", ["clusters"], subset=subset).loc["clusters"]
    assert row["n_cells"] == 4
    assert row["ari"] == row["acc"] == row["macro_f1"] == 1


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"labels_key": "type"}, "Unknown `labels_key`: 'type'. `adata.obs` holds 'labels', 'clusters'"),
        ({"cluster_keys": ["clusters", "x"]}, "Unknown `cluster_keys`: 'x'"),
        ({"use_rep": "X_pca"}, "Unknown `use_rep`: 'X_pca'. `adata.obsm` holds nothing"),
        ({"subset": np.zeros(6, dtype=bool)}, "`subset` keeps no cell"),
        ({"subset": np.arange(3)}, "`subset` must hold one True or False per cell, 6 in all"),
    ],
)
def test_bad_argument(kwargs, match):
    adata = annotated([0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0])
    with pytest.raises(ValueError, match=match):
        scx.metrics.clustering_report(adata, **{"labels_key": "labels", "cluster_keys": "clusters", **kwargs})


def shape(clusters, embedding, **kwargs):
    adata = annotated(clusters, clusters, obsm={"X_rep": np.asarray(embedding, dtype=float)})
    return scx.metrics.clustering_report(adata, None, "clusters", use_rep="X_rep", **kwargs).loc["clusters"]


def test_two_clusters_have_a_shape_and_cells_alone_have_none():
    embedding = np.random.default_rng(0).normal(size=(12, 2))
    clusters = np.arange(12) % 2
    row = shape(clusters, embedding)
    assert row["silhouette"] == pytest.approx(metrics.silhouette_score(embedding, clusters))
    assert row["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(embedding, clusters))
    assert shape(np.arange(12), embedding)[["silhouette", "calinski_harabasz"]].isna().all()


def test_sampled_silhouette_is_repeated_by_its_seed(monkeypatch):
    monkeypatch.setattr(scx.metrics._clustering_report, "MAX_SILHOUETTE_CELLS", 30)
    clusters = np.arange(200) % 3
    embedding = np.random.default_rng(0).normal(size=(200, 2)) + clusters[:, None]
    silhouette = {seed: shape(clusters, embedding, rng=seed)["silhouette"] for seed in (0, 1)}
    assert silhouette[0] != silhouette[1]
    assert shape(clusters, embedding)["silhouette"] == silhouette[0]
    drawn = [shape(clusters, embedding, rng=np.random.default_rng(1))["silhouette"] for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_sample_without_two_clusters_or_two_cells_of_one_has_no_silhouette(monkeypatch):
    monkeypatch.setattr(scx.metrics._clustering_report, "MAX_SILHOUETTE_CELLS", 2)
    embedding = np.arange(40.0).reshape(20, 2)
    rare = np.array([1, 1] + [0] * 18)
    pairs = np.repeat(np.arange(10), 2)
    for clusters in (rare, pairs):
        row = shape(clusters, embedding)
        assert np.isnan(row["silhouette"])
        assert row["calinski_harabasz"] == pytest.approx(metrics.calinski_harabasz_score(embedding, clusters))


def test_numbers_of_clusters_and_cells_are_whole_beside_scores():
    frame = scx.metrics.clustering_report(annotated([0, 1, 1], [0, 1, 1]), "labels", "clusters")
    assert [frame[name].dtype for name in ("n_clusters", "n_cells")] == [np.int64] * 2


def test_no_cell_with_both_label_and_cluster():
    adata = annotated([0, 0, 1], [0, 1, 1])
    adata.obs["clusters"] = adata.obs["clusters"].astype(object).where(adata.obs["labels"] == "1")
    adata.obs["labels"] = adata.obs["labels"].where(adata.obs["labels"] == "0")
    with pytest.raises(ValueError, match=r"No cell to score.*'labels'.*'clusters'"):
        scx.metrics.clustering_report(adata, "labels", "clusters")


def test_subset_that_is_a_series_is_aligned_by_its_index(pbmc):
    chosen = pd.Series(np.arange(pbmc.n_obs) % 4 == 0, index=pbmc.obs_names)
    pbmc.obs["mine"] = pbmc.obs["bulk_labels"].astype(str).where(chosen, "other")
    score = scx.metrics.clustering_report(pbmc, "bulk_labels", "mine", subset=chosen[::-1])
    assert score.loc["mine", "ari"] == 1
    assert score.loc["mine", "n_cells"] == chosen.sum()
    with pytest.raises(ValueError, match="name of each cell once; 0 of its names are unknown, 1 are missing"):
        scx.metrics.clustering_report(pbmc, "bulk_labels", "mine", subset=chosen[1:])
