import tracemalloc
import warnings

import numpy as np
import pytest
import scanpy as sc

import scx


def test_explicit_settings_win_over_the_recipe(method, pbmc):
    method.run(pbmc, n_latent=7, max_epochs=3, n_top_genes=60, batch_size=50)
    n_components = method.model_cls.recipes["default"].settings().get("n_components", 0)
    assert pbmc.obsm[f"X_{method.name}"].shape == (pbmc.n_obs, 7 + n_components)
    params = pbmc.uns[method.name]["params"]
    assert params["n_genes"] == 60
    assert params["max_epochs"] == 3
    assert params["batch_size"] == 50
    assert params["model_kwargs"]["n_latent"] == 7
    assert len(pbmc.uns[method.name]["history"]["loss"]) == 3


def test_flagged_genes_are_used_and_a_number_asked_for_wins(method, pbmc):
    pbmc.var["highly_variable"] = np.asarray(pbmc.X.sum(axis=0)).ravel() > np.median(np.asarray(pbmc.X.sum(axis=0)))
    method.run(pbmc, n_top_genes=None)
    assert pbmc.uns[method.name]["params"]["n_genes"] == pbmc.var["highly_variable"].sum()
    method.run(pbmc, n_top_genes=70)
    assert pbmc.uns[method.name]["params"]["n_genes"] == 70


def test_model_arguments_reach_the_model(pbmc):
    first, second = pbmc.copy(), pbmc.copy()
    quick = {"max_epochs": 2, "n_top_genes": 100}
    scx.tl.contrastive(first, 3, model_kwargs={"mask_rate": 0.2}, **quick)
    scx.tl.contrastive(second, 3, train_kwargs={"plan_kwargs": {"lr": 1e-6}}, **quick)
    scx.tl.contrastive(pbmc, 3, **quick)
    losses = [adata.uns["contrastive"]["history"]["loss"][-1] for adata in (first, second, pbmc)]
    assert len(set(losses)) == 3
    assert losses[1] > losses[2]  # hardly anything was learned


def test_says_what_was_added_as_scanpy_does(method, pbmc, tmp_path):
    sc.settings.verbosity = 3
    sc.settings.logfile = tmp_path / "log"
    try:
        method.run(pbmc, train_kwargs={"enable_progress_bar": False})
    finally:
        sc.settings.logfile = None
    out = (tmp_path / "log").read_text()
    for expected in (
        f"training {method.model}",
        "finished",
        repr(method.name),
        "(adata.obs)",
        "(adata.obsm)",
        "(adata.uns)",
    ):
        assert expected in out


@pytest.mark.parametrize(("verbosity", "shown"), [(0, False), (1, True)])
def test_progress_bar_follows_the_verbosity_of_scanpy(method, pbmc, capsys, verbosity, shown):
    sc.settings.verbosity = verbosity
    method.run(pbmc)
    assert ("epoch 2/2" in "".join(capsys.readouterr())) is shown


def test_no_warnings_reach_the_user(method, pbmc):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        method.run(pbmc)


@pytest.mark.slow
def test_no_dense_copy_of_all_genes(method):
    """Numpy's memory, and with it everything before training, stays far below cells × genes."""
    wide = scx.datasets.simulate(1500, 20_000, library_loc=7.0, rng=0)
    method.run(wide[:100].copy())  # imports and caches
    tracemalloc.start()
    method.run(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < wide.n_obs * wide.n_vars * 4 / 2


def test_failure_in_training_leaves_the_data_as_they_were(method, pbmc, monkeypatch):
    from scvi.train import TrainRunner

    def fail(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainRunner, "__call__", fail)
    before = [list(pbmc.obs), list(pbmc.obsm), list(pbmc.uns)]
    with pytest.raises(KeyboardInterrupt):
        method.run(pbmc)
    assert [list(pbmc.obs), list(pbmc.obsm), list(pbmc.uns)] == before
