import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import scx
from scx._clustering.evidence import evidence


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
