import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from sklearn.metrics import average_precision_score

import scx
from robustness.identical import assert_identical, frozen

QUICK = {"mask_var": None, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Simulated cells, and the folder of a model that finds their groups."""
    adata = scx.datasets.simulate(
        600,
        400,
        de_prob=0.05,
        de_loc=1.0,
        de_scale=0.3,
        de_down_prob=0.0,
        outlier_prob=0.0,
        mean_shape=2.0,
        library_loc=9.0,
    )
    folder = tmp_path_factory.mktemp("attributions") / "model"
    scx.tl.contrastive(adata, 4, max_epochs=15, model_dir=folder, **QUICK)
    return adata, folder


@pytest.fixture
def cells(trained):
    return trained[0].copy()


@pytest.fixture
def model(trained):
    return scx.model.load(trained[1])


def scores(adata, group):
    """Return the scores of all genes, in the order of `adata`."""
    return sc.get.rank_genes_groups_df(adata, group, key="attributions").set_index("names").scores[adata.var_names]


def log_posterior(model, x):
    """Return ln of the probability of each cluster at normalised expression, computed without the package's groups."""
    confidence = model.reference_.clusters.assignment.confidence
    z = model.module.encode(x)
    order = np.argsort(model.reference_.clusters.assignment.label_of)
    centers = torch.from_numpy(confidence.origin + confidence.means)[order]
    kernel = (1 + torch.cdist(z.double(), centers).square() / confidence.squared_scale) ** -2
    return (kernel / kernel.sum(dim=1, keepdim=True)).log()


def test_finds_the_genes_that_make_the_groups(cells, model):
    scx.tl.attributions(cells, model)
    batch = model.source(cells)[np.arange(cells.n_obs)]
    x = model.module.normalized(batch).detach().requires_grad_()
    labels = cells.obs["attributions_group"].cat.codes.to_numpy(dtype=np.int64)
    own = log_posterior(model, x)[np.arange(cells.n_obs), labels]
    gradient_times_input = (torch.autograd.grad(own.sum(), x)[0] * x).detach().numpy()
    is_any_marker = (cells.var[[f"de_factor_{group}" for group in range(4)]] > 1).any(axis=1)
    precision, simpler, of_any, simpler_of_any = [], [], [], []
    for group in cells.obs["contrastive"].cat.categories:
        members = (cells.obs["contrastive"] == group).to_numpy()
        true_group = cells.obs["group"][members].mode()[0]
        is_marker = cells.var[f"de_factor_{true_group}"] > 1
        precision.append(average_precision_score(is_marker, scores(cells, group)))
        simple_scores = gradient_times_input[members].mean(axis=0)
        simpler.append(average_precision_score(is_marker, simple_scores))
        # the absence of a marker of another group counts too
        of_any.append(average_precision_score(is_any_marker, scores(cells, group)))
        simpler_of_any.append(average_precision_score(is_any_marker, simple_scores))
    assert np.mean(precision) > 0.8
    assert np.mean(precision) > np.mean(simpler) - 0.02
    assert np.mean(of_any) > np.mean(simpler_of_any) - 0.02


def test_attributions_of_a_cell_add_up_to_what_they_explain(cells, model):
    scx.tl.attributions(cells, model, per_cell=True)
    assert (cells.uns["attributions"]["convergence_error"] < 0.02).all()
    labels = cells.obs["attributions_group"].cat.codes.to_numpy(dtype=np.int64)
    with torch.no_grad():
        x = model.module.normalized(model.source(cells)[np.arange(cells.n_obs)])
        difference = (log_posterior(model, x) - log_posterior(model, torch.zeros_like(x)))[np.arange(len(x)), labels]
    total = np.asarray(cells.layers["attributions"].sum(axis=1)).ravel()
    assert np.abs(total - difference.numpy()).mean() < 0.02 * difference.abs().mean()


def test_attributions_are_the_integral(cells, model):
    """The definition, with many steps of the midpoint rule in float64."""
    scx.tl.attributions(cells, model, n_steps=300, per_cell=True)
    x = model.module.normalized(model.source(cells)[np.arange(3)]).detach().double()
    model.module.double()
    label = cells.obs["attributions_group"].cat.codes.to_numpy(dtype=np.int64)[:3]
    shares = (torch.arange(1000).double()[:, None, None] + 0.5) / 1000
    path = (shares * x).flatten(0, 1).requires_grad_()
    own = log_posterior(model, path)[np.arange(3000), np.tile(label, 1000)]
    integral = torch.autograd.grad(own.sum(), path)[0].unflatten(0, (1000, 3)).mean(dim=0)
    np.testing.assert_allclose(cells.layers["attributions"][:3].toarray(), (x * integral).numpy(), atol=2e-3)


def test_one_cell_and_batches_give_the_same(cells, model, monkeypatch):
    together = scx.tl.attributions(cells, model, per_cell=True, copy=True)
    alone = scx.tl.attributions(cells[7].copy(), model, per_cell=True, copy=True)
    np.testing.assert_allclose(
        alone.layers["attributions"].toarray(), together.layers["attributions"][[7]].toarray(), atol=1e-5
    )
    assert alone.uns["attributions"]["names"].dtype.names == (cells.obs["contrastive"].iloc[7],)
    monkeypatch.setattr("scx.model._core.attributions.MAX_VALUES", 64 * 400 * 10)
    apart = scx.tl.attributions(cells, model, copy=True)
    assert apart.uns["attributions"]["n_cells"].tolist() == [100] * 4
    for group in ("0", "3"):
        np.testing.assert_allclose(scores(apart, group), scores(together, group), atol=1e-5)


def test_groups_are_the_clusters_of_the_model(cells, model):
    scx.tl.attributions(cells, model, ["2", "0"], n_cells=20)
    assert cells.obs["attributions_group"].tolist() == cells.obs["contrastive"].tolist()
    record = cells.uns["attributions"]
    assert record["names"].dtype.names == ("0", "2")
    assert record["n_cells"].tolist() == [20, 20]
    assert "attributions" not in cells.layers
    assert (np.diff(record["scores"]["2"]) <= 0).all()
    assert np.isnan(record["pvals"]["0"]).all()
    assert np.isnan(record["pvals_adj"]["0"]).all()


def test_fold_changes_are_those_of_scanpy(cells, model):
    scx.tl.attributions(cells, model)
    counts = cells.X.toarray().astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    logged = np.log1p(counts / totals * np.median(totals))
    for group in ("0", "1"):
        members = (cells.obs["attributions_group"] == group).to_numpy()
        own, rest = np.expm1(logged[members].mean(axis=0)), np.expm1(logged[~members].mean(axis=0))
        table = sc.get.rank_genes_groups_df(cells, group, key="attributions").set_index("names")
        expected = np.log2((own + 1e-9) / (rest + 1e-9))
        np.testing.assert_allclose(table.logfoldchanges[cells.var_names], expected, atol=1e-3)


@pytest.mark.parametrize("columns", ["as in training", "shuffled"])
def test_cells_on_disk_get_the_same(cells, model, tmp_path, columns):
    stored = cells if columns == "as in training" else cells[:, ::-1].copy()
    stored.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    on_disk = scx.tl.attributions(backed, model, n_cells=10, per_cell=True, copy=True)
    backed.file.close()
    in_memory = scx.tl.attributions(cells, model, n_cells=10, per_cell=True, copy=True)
    pd.testing.assert_frame_equal(
        sc.get.rank_genes_groups_df(on_disk, None, key="attributions"),
        sc.get.rank_genes_groups_df(in_memory, None, key="attributions"),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        on_disk[:, cells.var_names].layers["attributions"].toarray(),
        in_memory.layers["attributions"].toarray(),
        atol=1e-6,
    )


def test_genes_that_the_model_does_not_use(pbmc, tmp_path):
    used = np.arange(pbmc.n_vars) % 5 == 0
    scx.tl.contrastive(pbmc, 3, mask_var=used, max_epochs=1, accelerator="cpu", model_dir=tmp_path / "model")
    shuffled = pbmc[:, ::-1].copy()
    scx.tl.attributions(shuffled, tmp_path / "model", per_cell=True)
    layer = shuffled.layers["attributions"]
    assert not layer[:, ~used[::-1]].toarray().any()
    assert layer[:, used[::-1]].toarray().any(axis=0).mean() > 0.9
    genes = scx.model.load(tmp_path / "model").preparation_.genes
    assert set(shuffled.uns["attributions"]["names"]["0"]) == set(genes)


@pytest.mark.slow
def test_scanpy_reads_the_result(cells, model):
    scx.tl.attributions(cells, model)
    table = sc.get.rank_genes_groups_df(cells, None, key="attributions")
    assert len(table) == 4 * cells.n_vars
    kwargs = {"key": "attributions", "show": False, "n_genes": 3}
    sc.pl.rank_genes_groups(cells, **kwargs)
    sc.pl.rank_genes_groups_violin(cells, use_raw=False, groups=["0"], **kwargs)
    for plot in ("dotplot", "heatmap", "matrixplot", "stacked_violin", "tracksplot"):
        getattr(sc.pl, f"rank_genes_groups_{plot}")(cells, dendrogram=False, **kwargs)
    sc.pl.rank_genes_groups_dotplot(cells, values_to_plot="logfoldchanges", dendrogram=False, **kwargs)
    sc.tl.filter_rank_genes_groups(cells, key="attributions", key_added="filtered")


def test_known_types(pbmc, tmp_path):
    fields = {"labels_key": "some_labels", "max_epochs": 5, "accelerator": "cpu"}
    scx.tl.semiaae(pbmc, **fields, model_dir=tmp_path / "model")
    scx.tl.attributions(pbmc, str(tmp_path / "model"), per_cell=True)
    assert pbmc.obs["attributions_group"].tolist() == pbmc.obs["semiaae_prediction"].tolist()
    assert pbmc.uns["attributions"]["names"].dtype.names == ("CD14+ Monocyte", "CD19+ B")
    model = scx.model.load(tmp_path / "model")
    proba = pbmc.obsm["semiaae_proba"].max(axis=1)
    with torch.no_grad():
        average = model.module.probabilities_at(model.module.encode(torch.zeros(1, len(model.preparation_.genes))))[0]
    own = average.numpy()[pbmc.obs["attributions_group"].cat.codes]
    total = np.asarray(pbmc.layers["attributions"].sum(axis=1)).ravel()
    difference = np.log(proba) - np.log(own)
    assert np.abs(total - difference).mean() < 0.02 * np.abs(difference).mean()


def test_model_of_values_that_are_no_counts_has_no_fold_changes(pbmc, tmp_path):
    kwargs = {"max_epochs": 1, "accelerator": "cpu", "model_kwargs": {"likelihood": "gaussian"}}
    scx.tl.infovae(pbmc, 3, **kwargs, model_dir=tmp_path / "model")
    scx.tl.attributions(pbmc, tmp_path / "model")
    assert np.isnan(pbmc.uns["attributions"]["logfoldchanges"]["0"]).all()
    assert np.isfinite(pbmc.uns["attributions"]["scores"]["0"]).all()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_result_is_written_and_read(cells, model, tmp_path, form):
    scx.tl.attributions(cells, model, per_cell=True)
    getattr(cells, f"write_{form}")(tmp_path / f"annotated.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"annotated.{form}")
    ours, read = (sc.get.rank_genes_groups_df(adata, None, key="attributions") for adata in (cells, back))
    pd.testing.assert_frame_equal(ours, read, check_dtype=False, check_categorical=False)
    np.testing.assert_array_equal(back.layers["attributions"].toarray(), cells.layers["attributions"].toarray())


def test_a_later_call_deletes_what_it_does_not_write(cells, model):
    scx.tl.attributions(cells, model, per_cell=True)
    scx.tl.attributions(cells, model)
    assert "attributions" not in cells.layers


def test_same_seed_same_cells(cells, model):
    first, second, third = (
        scx.tl.attributions(cells, model, n_cells=5, rng=rng, copy=True).uns["attributions"]["scores"]["0"]
        for rng in (1, np.random.default_rng(1), 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_a_coarse_integral_is_reported(cells, model):
    with pytest.warns(UserWarning, match="n_steps"):
        scx.tl.attributions(cells, model, n_steps=1)
    assert cells.uns["attributions"]["convergence_error"].max() > 0.05


def test_without_captum(cells, model, monkeypatch):
    monkeypatch.setattr("scx._checks.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install captum"):
        scx.tl.attributions(cells, model)


def test_consensus_of_several_runs(cells, tmp_path):
    scx.tl.contrastive(cells, 4, max_epochs=1, n_runs=2, model_dir=tmp_path / "model", **QUICK)
    scx.tl.attributions(cells, tmp_path / "model")
    assert (cells.obs["attributions_group"] == cells.obs["contrastive"]).mean() > 0.8


class TestRefused:
    """What cannot be explained is refused, and nothing is changed."""

    @pytest.fixture(autouse=True)
    def _unchanged(self, cells):
        before = frozen(cells)
        yield
        assert_identical(cells, before)

    def test_logged_values(self, cells, model):
        logged = cells.copy()
        sc.pp.normalize_total(logged)
        sc.pp.log1p(logged)
        with pytest.raises(ValueError, match="log-transformed"):
            scx.tl.attributions(logged, model)

    def test_genes_that_are_missing(self, cells, model):
        with pytest.raises(ValueError, match="1 of the 400 genes"):
            scx.tl.attributions(cells[:, 1:].copy(), model)

    def test_groups_without_cells(self, cells, model):
        others = cells[cells.obs["contrastive"] != "3"].copy()
        with pytest.raises(ValueError, match="no cell of `adata` is in '3'"):
            scx.tl.attributions(others, model, ["0", "3"])

    def test_cells_that_attend_to_each_other(self, cells, tmp_path):
        kwargs = {"max_epochs": 1, "model_kwargs": {"attention": "batch"}, "model_dir": tmp_path / "model"}
        scx.tl.cicl(cells.copy(), 4, **kwargs, **QUICK)
        with pytest.raises(ValueError, match='attention="cell"'):
            scx.tl.attributions(cells, tmp_path / "model")

    def test_model_without_clusters(self, cells):
        own = cells.copy()
        scx.model.Contrastive.setup_anndata(own)
        untrained = scx.model.Contrastive(own)
        with pytest.raises(ValueError, match="not trained"):
            scx.tl.attributions(cells, untrained)
        untrained.train(1, accelerator="cpu", enable_progress_bar=False)
        with pytest.raises(ValueError, match="no clusters"):
            scx.tl.attributions(cells, untrained)
