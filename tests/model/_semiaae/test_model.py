import warnings
from itertools import pairwise

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, f1_score, roc_auc_score

import scx
from batches import batch_of
from scx._clustering.fit import fit_partition
from scx._rng import global_seed, spawn_seeds
from scx.model._semiaae.labeled_batches import LabeledBatches

QUICK = {"max_epochs": 10, "batch_size": 100}


@pytest.fixture(scope="module")
def _groups() -> ad.AnnData:
    adata = scx.datasets.simulate(400, 300, n_groups=4, de_prob=0.3, de_scale=0.8, library_loc=8.0)
    adata.obs["given"] = adata.obs["group"].astype(str)
    adata.obs.loc[np.random.default_rng(0).random(400) > 0.2, "given"] = "Unknown"
    return adata


@pytest.fixture
def groups(_groups) -> ad.AnnData:
    """400 simulated cells of four groups, of which every fifth is labelled."""
    return _groups.copy()


@pytest.fixture(scope="module")
def annotated(_groups) -> ad.AnnData:
    return scx.tl.semiaae(_groups, labels_key="given", copy=True, **QUICK)


def untrained(adata, **kwargs):
    scx.model.SemiAAE.setup_anndata(adata, labels_key="given" if "given" in adata.obs else None)
    with global_seed(0):
        return scx.model.SemiAAE(adata, **kwargs)


def test_losses_by_hand(groups):
    """Softmax, logistic function and logarithms in numpy; nothing corrupted."""
    model = untrained(groups, classification_weight=3.0, adversarial_weight=0.5)
    module = model.module.eval()
    batch = batch_of(torch.tensor(groups.X[:50].toarray()), target=torch.rand(50, 4))
    batch.target[10:20] = 0  # cells without a target
    z = module.embed(batch)
    losses = {name: value.item() for name, value in module.loss(batch).items()}
    score, logits = (x.detach().double().numpy() for x in (module.discriminator(z)[:, 0], module.head(z)))
    target = batch.target.double().numpy()
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert losses["generator_loss"] == pytest.approx(-np.log(1 / (1 + np.exp(-score))).mean(), rel=1e-4)
    assert losses["classification_loss"] == pytest.approx(-(target * np.log(proba)).sum() / target.sum(), rel=1e-4)
    assert losses["loss"] == pytest.approx(
        losses["reconstruction_loss"] + 3 * losses["classification_loss"] + 0.5 * losses["generator_loss"], rel=1e-5
    )
    assert module.pretraining_loss(batch)["loss"].item() == pytest.approx(losses["reconstruction_loss"], rel=1e-5)
    torch.manual_seed(0)
    loss = module.loss(batch)["discriminator_loss"].item()
    torch.manual_seed(0)
    true = module.discriminator(torch.randn_like(z))[:, 0].detach().double().numpy()
    expected = -np.log(1 / (1 + np.exp(-true))).mean() - np.log(1 - 1 / (1 + np.exp(-score))).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_reconstruction_is_the_reference_likelihood(groups):
    from scvi.distributions import ZeroInflatedNegativeBinomial

    module = untrained(groups, dispersion="gene-cell").module.eval()
    x = torch.tensor(groups.X[:50].toarray())
    batch = batch_of(x, 7 * torch.rand(50, 1))
    log_mean, logits, log_dispersion = module.decoder(module.embed(batch)).chunk(3, dim=1)
    law = ZeroInflatedNegativeBinomial(
        mu=log_mean.exp() * batch.size_factor, theta=log_dispersion.exp(), zi_logits=logits
    )
    found = module.pretraining_loss(batch)["reconstruction_loss"]
    torch.testing.assert_close(found, -law.log_prob(x).mean(), rtol=1e-4, atol=1e-4)


def test_discriminator_learns_from_its_own_loss_only(groups):
    """Its loss gives no gradient to the encoder, and its first step does not depend on the generator's loss."""
    module = untrained(groups).module
    batch = batch_of(torch.tensor(groups.X[:50].toarray()), target=torch.zeros(50, 4))
    module.loss(batch)["discriminator_loss"].backward()
    assert all(p.grad is None for p in [*module.encoder.parameters(), *module.decoder.parameters()])
    assert all(p.grad is not None for p in module.discriminator.parameters())

    def after_one_step(adversarial_weight):
        model = untrained(groups, adversarial_weight=adversarial_weight, guided=False)
        with global_seed(0):
            model.train(1, batch_size=400, plan_kwargs={"pretraining_fraction": 0.0}, enable_progress_bar=False)
        return torch.cat([p.detach().flatten() for p in model.module.discriminator.parameters()])

    torch.testing.assert_close(after_one_step(0.0), after_one_step(1e4))


def test_phases_and_interval(groups):
    """Before the second phase neither head nor discriminator change; the discriminator then at every third step."""
    from lightning.pytorch import Callback

    class Watch(Callback):
        def on_train_batch_end(self, trainer, plan, *args):
            states.append([torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts])

    model = untrained(groups)
    parts = [model.module.head, model.module.discriminator]
    states = [[torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]]
    plan = {"pretraining_fraction": 0.5, "discriminator_interval": 3}
    model.train(4, batch_size=100, plan_kwargs=plan, callbacks=[Watch()], enable_progress_bar=False)
    changed = np.array([[not torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in pairwise(states)])
    np.testing.assert_array_equal(changed[:, 0], np.arange(16) >= 8)
    np.testing.assert_array_equal(changed[:, 1], (np.arange(16) >= 8) & (np.arange(16) % 3 == 0))
    history = model.history
    assert history["reconstruction_loss"].index.tolist() == [0, 1, 2, 3]
    for name in ("classification_loss", "generator_loss", "discriminator_loss"):
        assert history[name].index.tolist() == [2, 3]
        assert 0 < history[name].to_numpy().min() < history[name].to_numpy().max() < 10


def test_paper_optimiser_of_each_phase(groups):
    from lightning.pytorch import Callback

    class Watch(Callback):
        def on_train_end(self, trainer, plan):
            found.extend((type(o).__name__, o.param_groups[0]["lr"]) for o in trainer.optimizers)

    found = []
    untrained(groups, recipe="paper").train(2, callbacks=[Watch()], enable_progress_bar=False)
    assert found == [("Adam", 1e-3), ("Adadelta", 0.01), ("Adam", 1e-4)]


@pytest.mark.parametrize("n_labeled", [1, 3])
def test_every_type_is_in_every_epoch(n_labeled):
    """Also of a file sorted by type, with one labelled cell of some types and more types than batches."""
    types = np.repeat(np.arange(12), 25)
    codes = np.where(np.arange(300) % 25 < np.where(types % 2, 1, 5), types, -1)
    batches = [np.arange(i, i + 50) for i in range(0, 300, 50)]
    for _ in range(5):
        appended = [batch[50:] for batch in LabeledBatches(batches, codes, n_labeled)]
        drawn = np.concatenate(appended)
        assert all(len(cells) >= n_labeled for cells in appended)
        counts = np.bincount(codes[drawn], minlength=12)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1
        assert (codes[drawn] >= 0).all()


def test_fields(annotated, groups, tmp_path):
    key, names = "semiaae", ["Group1", "Group2", "Group3", "Group4"]
    names = sorted(groups.obs["group"].astype(str).unique())
    assert list(annotated.uns[key]["types"]) == names
    proba = annotated.obsm[f"{key}_proba"]
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    prediction = annotated.obs[f"{key}_prediction"]
    assert list(prediction.cat.categories) == names
    np.testing.assert_array_equal(prediction, np.array(names)[proba.argmax(axis=1)])
    confidence = annotated.obs[f"{key}_confidence"]
    assert confidence.dtype == np.float32
    assert (confidence <= proba.max(axis=1) + 1e-6).all()
    assert list(annotated.obs[key].cat.categories) == names
    pd.testing.assert_series_equal(annotated.obs["given"], groups.obs["given"])
    calibration = annotated.uns[key]["calibration"]
    assert len(calibration["confidence"]) == len(calibration["accuracy"]) == len(calibration["n_cells"])
    assert calibration["n_cells"].sum() == (groups.obs["given"] != "Unknown").sum()
    assert calibration["temperature"] > 0
    assert 0 <= calibration["ece"] <= 1
    annotated.write_h5ad(tmp_path / "annotated.h5ad")
    back = ad.read_h5ad(tmp_path / "annotated.h5ad")
    np.testing.assert_array_equal(back.obs[f"{key}_prediction"], prediction)
    assert back.uns[key]["calibration"]["ece"] == calibration["ece"]


def test_types_of_unlabelled_cells_are_found(annotated, groups):
    unlabelled = (groups.obs["given"] == "Unknown").to_numpy()
    found = annotated.obs["semiaae_prediction"].astype(str) == groups.obs["group"].astype(str)
    assert found[unlabelled].mean() > 0.95


def test_only_labels_that_are_given_are_read(annotated, groups):
    """The true types of unlabelled cells, permuted in their column, change no bit."""
    truth = groups.obs["group"].to_numpy().copy()
    unlabelled = np.flatnonzero(groups.obs["given"] == "Unknown")
    truth[unlabelled] = np.random.default_rng(1).permutation(truth[unlabelled])
    groups.obs["group"] = truth
    scx.tl.semiaae(groups, labels_key="given", **QUICK)
    np.testing.assert_array_equal(groups.obsm["X_semiaae"], annotated.obsm["X_semiaae"])
    np.testing.assert_array_equal(groups.obsm["semiaae_proba"], annotated.obsm["semiaae_proba"])


@pytest.mark.filterwarnings("ignore:`unlabeled_category='not yet'` matches no cell")
@pytest.mark.parametrize("unlabelled", [np.nan, "", "not yet", None])
def test_ways_to_be_unlabelled(annotated, groups, unlabelled):
    column = groups.obs["given"].astype(object)
    column[column == "Unknown"] = unlabelled
    groups.obs["other"] = pd.Categorical(column, categories=[*sorted(set(column) - {np.nan, None}), "of no cell"])
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category="not yet", **QUICK)
    np.testing.assert_array_equal(groups.obsm["semiaae_proba"], annotated.obsm["semiaae_proba"])


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "category"])
def test_types_that_are_numbers(groups, dtype):
    names = [name for name in sorted(groups.obs["given"].unique()) if name != "Unknown"]
    numbers = groups.obs["given"].astype(str).map({"Unknown": -1} | {name: i for i, name in enumerate(names)})
    groups.obs["other"] = numbers.astype(float).astype("category") if dtype == "category" else numbers.astype(dtype)
    unlabeled = "-1.0" if dtype in ("float64", "category") else "-1"
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category=unlabeled, max_epochs=1, n_top_genes=50)
    assert list(groups.uns["semiaae"]["types"]) == ["0", "1", "2", "3"]


def test_type_that_is_called_unknown_is_one_if_another_name_is_given(groups):
    groups.obs["other"] = groups.obs["given"].replace("Unknown", "")
    groups.obs["other"] = groups.obs["other"].replace(groups.obs["group"].astype(str).min(), "Unknown")
    scx.tl.semiaae(groups, labels_key="other", unlabeled_category="", max_epochs=1, n_top_genes=50)
    assert "Unknown" in groups.uns["semiaae"]["types"]


def test_confidence_is_the_probability_lowered_where_labels_hardly_reach(groups):
    groups.obs["given"] = groups.obs["given"].replace(groups.obs["group"].astype(str).max(), "Unknown")
    model = untrained(groups)
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


def test_head_is_as_sure_as_its_target(groups):
    """A derivative of the cross-entropy by the temperature, 0, in float64; also where training ends long before it fits."""
    model = untrained(groups)
    model.train(2, batch_size=100, enable_progress_bar=False)
    assert model.module.inverse_temperature != 1
    proba, target = model.predict(soft=True).to_numpy().astype(float), model._guidance.target.astype(float)
    logits = np.log(proba)
    slope = ((proba - target) * logits).sum(axis=1).mean()
    assert abs(slope) < 1e-3
    assert ((proba**1.2 / (proba**1.2).sum(axis=1, keepdims=True) - target) * logits).sum(axis=1).mean() > 1e-3


def test_name_of_a_new_type_that_is_taken(groups):
    hidden, other, *_ = groups.obs["group"].astype(str).value_counts().index
    groups.obs["given"] = groups.obs["given"].replace({hidden: "Unknown", other: "new_1"})
    scx.tl.semiaae(groups, labels_key="given", **QUICK)
    assert list(groups.obs["semiaae"].cat.categories[-2:]) == ["new_1", "new_2"]
    assert f1_score(groups.obs["group"] == hidden, groups.obs["semiaae"] == "new_2") > 0.9


@pytest.mark.slow
def test_paper_learns_the_given_labels(groups):
    scx.tl.semiaae(groups, labels_key="given", recipe="paper", batch_size=50, max_epochs=40)
    unlabelled = (groups.obs["given"] == "Unknown").to_numpy()
    found = groups.obs["semiaae_prediction"].astype(str) == groups.obs["group"].astype(str)
    assert found[unlabelled].mean() > 0.7  # slow to learn, with a fifth of the epochs of the recipe
    number = groups.uns["semiaae"]["n_clusters"]
    assert number["chosen"] == len(groups.obs["semiaae"].cat.categories) == 4
    assert number["reason"].startswith("as many as known types")
    assert groups.uns["semiaae"]["cluster"] == "gmm"


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


def test_nothing_remains_of_labels_in_a_run_without(annotated):
    again = annotated.copy()
    scx.tl.semiaae(again, 3, max_epochs=1, n_top_genes=50)
    assert list(again.obs["semiaae"].cat.categories) == ["0", "1", "2"]
    assert "semiaae_prediction" not in again.obs
    assert "semiaae_proba" not in again.obsm
    assert "calibration" not in again.uns["semiaae"]


def test_no_label_at_all_is_no_label(groups):
    groups.obs["given"] = "Unknown"
    with pytest.warns(UserWarning, match="No cell has a label"):
        scx.tl.semiaae(groups, 4, labels_key="given", max_epochs=1, n_top_genes=50)
    assert list(groups.obs["semiaae"].cat.categories) == ["0", "1", "2", "3"]


def test_errors_before_training(groups):
    before = groups.copy()
    with pytest.raises(ValueError, match="Unknown `labels_key`: 'typo'"):
        scx.tl.semiaae(groups, labels_key="typo")
    with pytest.raises(ValueError, match="have 4 types, more than `n_clusters=3`"):
        scx.tl.semiaae(groups, 3, labels_key="given")
    groups.obs["semiaae"] = groups.obs["given"]
    groups.uns["semiaae"] = {"scx_version": "0"}
    with pytest.raises(ValueError, match="would overwrite the labels"):
        scx.tl.semiaae(groups, labels_key="semiaae")
    assert list(groups.obsm) == list(before.obsm)


def test_saved_model_predicts_new_cells_without_labels(groups, tmp_path):
    scx.model.SemiAAE.setup_anndata(groups, labels_key="given")
    model = scx.model.SemiAAE(groups)
    model.train(10, batch_size=100, enable_progress_bar=False)
    model.save(tmp_path / "model")
    query = groups[[3, 50, 7]].copy()
    del query.obs["given"]
    loaded = scx.model.SemiAAE.load(tmp_path / "model", query)
    expected = model.predict(soft=True).iloc[[3, 50, 7]]
    pd.testing.assert_frame_equal(loaded.predict(soft=True), expected, rtol=1e-4)
    np.testing.assert_array_equal(loaded.predict(), expected.columns[expected.to_numpy().argmax(axis=1)])
    with pytest.raises(RuntimeError, match="session that trained"):
        loaded.partition(loaded.get_latent_representation(), None, "kmeans", 0)


def test_prediction_without_known_types_says_so(groups):
    del groups.obs["given"]
    model = untrained(groups)
    model.train(1, enable_progress_bar=False)
    with pytest.raises(ValueError, match="labels_key"):
        model.predict()


def given(adata, unlabeled_category, by):
    """Hand labels over, to the function or to the model."""
    if by == "tl":
        scx.tl.semiaae(adata, labels_key="given", unlabeled_category=unlabeled_category, max_epochs=1, n_top_genes=50)
    else:
        scx.model.SemiAAE.setup_anndata(adata, labels_key="given", unlabeled_category=unlabeled_category)


@pytest.mark.parametrize("by", ["tl", "model"])
@pytest.mark.parametrize("slip", ["unknown", " Unknown", "Unkown", "UNKNOWN "])
def test_slip_of_the_unlabeled_category(groups, slip, by):
    with pytest.raises(ValueError, match=r"matches no cell in .* which holds 'Unknown'. Pass that"):
        given(groups, slip, by)


@pytest.mark.parametrize("by", ["tl", "model"])
def test_unlabeled_category_that_matches_no_cell(groups, by):
    with pytest.warns(UserWarning, match="`unlabeled_category='none'` matches no cell"):
        given(groups, "none", by)
    groups.obs["given"] = groups.obs["given"].astype(str).replace("Unknown", "")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(no cell|No cell).*")
        given(groups, "Unknown", by)  # the default, where unlabelled cells are empty
    with pytest.raises(TypeError, match="`unlabeled_category` must be a string"):
        given(groups, 3, by)


@pytest.mark.parametrize("by", ["tl", "model"])
def test_labels_that_are_all_missing(groups, by):
    groups.obs["given"] = "Unknown"
    with pytest.warns(UserWarning, match=r"No cell has a label in `adata.obs\['given'\]`"):
        given(groups, "Unknown", by)
