import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, f1_score, roc_auc_score

import scx
from models import untrained_semiaae
from scx._clustering.fit import fit_partition
from scx._rng import spawn_seeds
from scx.model._semiaae.guidance import Guidance
from scx.model._semiaae.partition import partition_by_type

QUICK = {"max_epochs": 10, "batch_size": 100}


def test_confidence_is_the_probability_lowered_where_labels_hardly_reach(groups):
    groups.obs["given"] = groups.obs["given"].replace(groups.obs["group"].astype(str).max(), "Unknown")
    model = untrained_semiaae(groups)
    model.train(10, batch_size=100, enable_progress_bar=False)
    found = model.partition(model.get_latent_representation(), None, "kmeans", 0)
    reach = model._guidance.reach
    expected = model.predict(soft=True).max(axis=1) * np.minimum(reach / 0.4, 1)
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-6)
    assert 0 < (reach < 0.4).mean() < 1


def test_new_type_is_a_cluster_with_low_confidence(groups):
    types = groups.obs["group"].astype(str)
    hidden = types.value_counts().index[0]
    groups.obs["given"] = groups.obs["given"].replace(hidden, "Unknown")
    scx.tl.semiaae(groups, labels_key="given", **QUICK)
    is_new = types == hidden
    assert list(groups.obs["semiaae"].cat.categories) == [*sorted(set(types) - {hidden}), "new_1"]
    assert f1_score(is_new, groups.obs["semiaae"] == "new_1") > 0.9
    assert roc_auc_score(is_new, -groups.obs["semiaae_confidence"]) > 0.95
    assert hidden not in groups.obs["semiaae_prediction"].cat.categories
    scx.tl.semiaae(groups, 3, labels_key="given", **QUICK)  # no cluster beside the known ones
    assert "new_1" not in groups.obs["semiaae"].cat.categories


@pytest.mark.parametrize("kwargs", [{}, {"recipe": "paper", "max_epochs": 20}, {"n_runs": 2}], ids=str)
def test_cells_of_training_that_are_new_get_their_clusters_again(groups, tmp_path, kwargs):
    """Known types, and one that no label reaches."""
    hidden = groups.obs["group"].astype(str).value_counts().index[0]
    groups.obs["given"] = groups.obs["given"].replace(hidden, "Unknown")
    scx.tl.semiaae(groups, labels_key="given", model_dir=tmp_path / "model", **QUICK | kwargs)
    model = scx.model.load(tmp_path / "model")
    found = model.assign(model.get_latent_representation(groups))
    same = np.array(found.names)[found.labels] == groups.obs["semiaae"].astype(str)
    assert same.mean() > 0.98
    np.testing.assert_allclose(found.prediction.proba, groups.obsm["semiaae_proba"], atol=1e-5)
    np.testing.assert_allclose(found.confidence, groups.obs["semiaae_confidence"], atol=0.2)
    assert np.abs(found.confidence - groups.obs["semiaae_confidence"]).mean() < 0.01


def test_new_cells_may_be_of_a_type_that_no_cell_of_training_is_predicted_to_be():
    proba = np.array([[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0.1, 0, 0.9]], dtype=np.float32)
    embedding = np.arange(3, dtype=np.float32)[:, None]
    guidance = Guidance(proba, np.ones(3), np.full(3, -1), {})
    found = partition_by_type(embedding, proba, ("a", "b", "c"), guidance, None, 0)
    assert found.names == ("a", "c")
    assert found.clusters.names == ("a", "c", "b")
    new = np.array([[0.0, 0.2, 0.7, 0.1], [2.0, 0.1, 0.2, 0.7]], dtype=np.float32)
    labels, confidence = found.assignment.assign(new)
    assert [found.clusters.names[label] for label in labels] == ["b", "c"]
    np.testing.assert_allclose(confidence, [0.7, 0.7])


def test_name_of_a_new_type_that_is_taken(groups):
    hidden, other, *_ = groups.obs["group"].astype(str).value_counts().index
    groups.obs["given"] = groups.obs["given"].replace({hidden: "Unknown", other: "new_1"})
    scx.tl.semiaae(groups, labels_key="given", **QUICK)
    assert list(groups.obs["semiaae"].cat.categories[-2:]) == ["new_1", "new_2"]
    assert f1_score(groups.obs["group"] == hidden, groups.obs["semiaae"] == "new_2") > 0.9


def test_paper_clusters_are_named_by_their_labelled_cells(groups):
    """One label is not enough to name a cluster of many cells."""
    hidden, other, *_ = groups.obs["group"].astype(str).value_counts().index
    groups.obs["given"] = groups.obs["given"].replace(hidden, "Unknown")
    groups.obs.loc[groups.obs_names[groups.obs["group"] == hidden][0], "given"] = other
    scx.tl.semiaae(groups, 4, labels_key="given", recipe="paper", max_epochs=20)
    clusters = groups.obs["semiaae"].astype(str)
    is_hidden = groups.obs["group"].astype(str) == hidden
    assert clusters[is_hidden].str.startswith("new").mean() > 0.8
    assert (clusters[~is_hidden] == groups.obs["group"].astype(str)[~is_hidden]).mean() > 0.8
    assert "not calibrated" in groups.uns["semiaae"]["calibration"]["reason"]


def test_paper_clusters_are_those_of_the_mixture(groups):
    """Labels name clusters and join none: more clusters than types stay as many, told apart by numbers."""
    scx.tl.semiaae(groups, 7, labels_key="given", recipe="paper", max_epochs=6, rng=3)
    clusters = groups.obs["semiaae"]
    features = np.concatenate([groups.obsm["X_semiaae"], groups.obsm["semiaae_proba"]], axis=1)
    mixture = fit_partition(features, 7, "gmm", spawn_seeds(3, 3)[1])
    assert adjusted_rand_score(mixture.labels, clusters) == pytest.approx(1)
    names = list(clusters.cat.categories)
    assert len(set(names)) == len(names) == 7
    types = set(groups.uns["semiaae"]["types"])
    assert {name.rsplit(" (", 1)[0] for name in names if not name.startswith("new_")} <= types
    assert any(name.endswith(" (2)") for name in names)
    assert not types & {name.rsplit(" (", 1)[0] for name in names if name.endswith(" (2)")} & set(names)


def test_runs_agree_under_one_set_of_names(groups):
    scx.tl.semiaae(groups, labels_key="given", n_runs=2, **QUICK)
    assert (groups.obs["semiaae"].astype(str) == groups.obs["group"].astype(str)).mean() > 0.95
    assert groups.obs["semiaae_agreement"].between(0, 1).all()
