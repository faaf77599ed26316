from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import scx
from scx._clustering.evidence import evidence
from scx._workflow import ensemble as ensembles
from scx._workflow.options import fit_options


@pytest.fixture(scope="module")
def groups():
    """Cells of six unequal groups."""
    sizes = np.array([8, 6, 4, 3, 2, 1])
    return scx.datasets.simulate(480, 600, group_probs=sizes / sizes.sum(), de_prob=0.2, de_scale=0.6)


def clusterings(adata, key="ensemble"):
    return pd.DataFrame(dict(adata.uns[key]["clusterings"]))


@pytest.mark.slow
def test_default(groups):
    adata = scx.tl.ensemble(groups, 6, copy=True)
    assert adjusted_rand_score(adata.obs["group"], adata.obs["ensemble"]) > 0.9
    table = clusterings(adata)
    assert len(table) == 14
    assert set(table["embedding"]) == {"pca", *(f"pca {i}" for i in range(2, 6)), "contrastive", "contrastive + pca"}
    chosen = adata.uns["ensemble"]["chosen"]
    assert chosen == table["score"].argmax()
    assert adata.uns["ensemble"]["reason"].startswith(
        f"{table['algorithm'][chosen]} on {table['embedding'][chosen]} has the highest score of 14"
    )
    for name in ("ensemble_agreement", "ensemble_confidence"):
        assert adata.obs[name].between(0, 1).all()
    trained = scx.model.Contrastive.recipes["default"].module.n_latent
    assert adata.obsm["X_ensemble"].shape == (480, 20 + trained)
    again = scx.tl.ensemble(groups, 6, n_jobs=2, copy=True)
    np.testing.assert_array_equal(again.obsm["X_ensemble"], adata.obsm["X_ensemble"])
    assert again.obs["ensemble"].tolist() == adata.obs["ensemble"].tolist()
    pd.testing.assert_frame_equal(clusterings(again), table)


def test_principal_components_are_those_of_scanpy(groups):
    scx.tl.ensemble(groups, 6, members={"pca": 1})
    logged = groups.copy()
    sc.pp.filter_genes(logged, min_cells=3)
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    values = np.asarray(logged.X.todense() if sparse.issparse(logged.X) else logged.X, dtype=np.float64)
    scaled = np.minimum(values / values.std(axis=0, ddof=1), 10)
    centred = scaled - scaled.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :20] * singular[:20] / np.linalg.norm(singular[:20])
    signs = np.sign((expected * groups.obsm["X_ensemble"]).sum(axis=0))
    np.testing.assert_allclose(groups.obsm["X_ensemble"], expected * signs, atol=1e-4)


def test_scores_are_those_of_the_clusterings(groups):
    """The result of KMeans and of Leiden on the same components, scored anew."""
    scx.tl.ensemble(groups, 6, members={"pca": 1}, rng=3)
    table = clusterings(groups)
    best = table["algorithm"][groups.uns["ensemble"]["chosen"]]
    scx.tl.cluster(groups, 6, use_rep="X_ensemble", method=best)
    assert adjusted_rand_score(groups.obs["cluster"], groups.obs["ensemble"]) > 0.9
    counts = sparse.csr_matrix(groups.X)
    counts = counts[:, counts.getnnz(axis=0) >= 3]
    factors = np.asarray(counts.sum(axis=1)).ravel()
    labels = groups.obs["ensemble"].cat.codes.to_numpy().astype(int)
    found = evidence(counts, factors, [labels]).deviance_explained[0]  # fewer than 1,000 genes: all of them
    assert table["deviance_explained"].max() == pytest.approx(found, rel=1e-5)


def test_k_is_chosen_on_the_joint_embedding(groups):
    scx.tl.ensemble(groups, members={"pca": 2})
    number = groups.uns["ensemble"]["n_clusters"]
    assert abs(number["chosen"] - 6) <= 1
    assert "tried" in number


def test_a_member_of_each_method(groups):
    small = groups[:, :200].copy()
    members = dict.fromkeys(["cicl", "contrastive"], 1)
    scx.tl.ensemble(small, 6, members=members)
    assert set(clusterings(small)["embedding"]) == {"cicl", "contrastive"}


def test_leaves_threads_and_generators_as_they_were(groups):
    n_threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    scx.tl.ensemble(groups, 6, members={"pca": 1})
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_too_few_genes(groups):
    few = np.arange(groups.n_vars) < 4
    before = groups.copy()
    with pytest.raises(ValueError, match="Only 4 of the selected genes"):
        scx.tl.ensemble(groups, 6, members={"pca": 1}, mask_var=few, key_added="few")
    assert set(groups.obs) == set(before.obs)
    assert set(groups.uns) == set(before.uns)


@pytest.fixture
def quick(monkeypatch):
    """KMeans only, and two epochs: mapping is the same after good training."""
    monkeypatch.setattr(ensembles, "ALGORITHMS", ("kmeans",))
    monkeypatch.setattr(ensembles, "fit_options", partial(fit_options, max_epochs=2))


@pytest.mark.parametrize("chosen", ["pca 3", "contrastive", "contrastive + pca"])
def test_cells_of_training_get_their_results_again(groups, tmp_path, monkeypatch, quick, chosen):
    """Whichever clustering is kept: of components, of a trained embedding, or of both side by side."""
    names = ["pca", "pca 2", "pca 3", "contrastive", "contrastive + pca"]
    scores = ensembles.evidence

    def prefer(*arguments):
        return replace(scores(*arguments), score=np.array([0.1 + (name == chosen) for name in names]))

    monkeypatch.setattr(ensembles, "evidence", prefer)
    folder = tmp_path / "model"
    scx.tl.ensemble(groups, 6, members={"pca": 3, "contrastive": 1}, model_dir=folder)
    assert clusterings(groups)["embedding"].tolist() == names
    assert groups.uns["ensemble"]["params"]["model_dir"] == str(folder)
    again = scx.tl.map_query(groups, folder, key_added="again", copy=True)
    np.testing.assert_allclose(again.obsm["X_again"], groups.obsm["X_ensemble"], atol=1e-5)
    assert again.obs["again_closest"].tolist() == groups.obs["ensemble"].tolist()
    np.testing.assert_allclose(again.obs["again_confidence"], groups.obs["ensemble_confidence"], atol=1e-3)
    needed = {"pca", "contrastive", *([chosen] if chosen == "pca 3" else [])}
    assert set(scx.model.load(folder).members) == needed


def test_new_cells_get_the_clusters(groups, tmp_path, quick):
    folder = tmp_path / "model"
    new = np.arange(groups.n_obs) % 4 == 0
    reference, query = groups[~new].copy(), groups[new].copy()
    scx.tl.ensemble(reference, 6, members={"pca": 4}, model_dir=folder)
    shuffled = query[:, ::-1].copy()
    scx.tl.map_query(shuffled, folder)
    assert adjusted_rand_score(query.obs["group"], shuffled.obs["ensemble_closest"]) > 0.9
    assert (shuffled.obs["ensemble"] == "Unknown").mean() < 0.15
    one = query[[3]].copy()
    scx.tl.map_query(one, folder)
    np.testing.assert_allclose(one.obsm["X_ensemble"], shuffled.obsm["X_ensemble"][[3]], atol=1e-6)
    genes = scx.model.load(folder).gene_variance.index
    gone = genes[::20]
    with (
        pytest.warns(UserWarning, match=rf"{len(gone)} of the {len(genes)} genes of the model are missing"),
        pytest.warns(UserWarning, match="size factors are corrected"),
    ):
        without = scx.tl.map_query(query[:, ~query.var_names.isin(gone)].copy(), folder, copy=True)
    same = without.obs["ensemble_closest"].astype(str) == shuffled.obs["ensemble_closest"].astype(str)
    assert same.mean() > 0.95
    with pytest.raises(ValueError, match="`model` is an ensemble"):
        scx.tl.attributions(query, folder)
    with pytest.raises(ValueError, match="holds a model of another class, Ensemble"):
        scx.model.Contrastive.load(folder)
