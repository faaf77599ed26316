"""What a run leaves behind: its record, and nothing of the data."""

import gc
import weakref
from contextlib import suppress

import numpy as np
import pytest
import scanpy as sc

import scx
from conftest import CASES_WITH_FIELDS
from scx._workflow import walk
from scx._workflow.options import FitOptions

QUICK = {"max_epochs": 2, "n_top_genes": 100}


@pytest.mark.slow
@pytest.mark.parametrize("method", CASES_WITH_FIELDS, ids=str)
def test_the_record_repeats_the_run(method, pbmc):
    """All settings of the record, passed as arguments, give the same result."""
    first = method.run(pbmc, rng=3, train_kwargs={"plan_kwargs": {"lr": 0.002}}, copy=True)
    params = first.uns[method.name]["params"]
    arguments = FitOptions.__annotations__.keys() | method.fields.keys()
    second = method.function(
        pbmc, method.n_clusters, **{name: params[name] for name in arguments & params.keys()}, copy=True
    )
    np.testing.assert_array_equal(second.obsm[f"X_{method.name}"], first.obsm[f"X_{method.name}"])
    assert second.obs[method.name].tolist() == first.obs[method.name].tolist()


def test_record_of_a_training_that_stopped_early(pbmc):
    stopping = {"early_stopping": True, "early_stopping_patience": 1, "early_stopping_min_delta": 100.0}
    scx.tl.contrastive(pbmc, 3, max_epochs=9, n_top_genes=100, train_kwargs=stopping)
    record = pbmc.uns["contrastive"]
    assert record["params"]["stopped_early"] is True
    assert record["params"]["max_epochs"] == len(record["history"]["loss"]) < 9


def test_a_loss_that_starts_in_a_later_phase_is_nan_before(pbmc):
    scx.tl.infovae(pbmc, 4, max_epochs=4, n_top_genes=100)
    record = pbmc.uns["infovae"]
    assert {len(curve) for curve in record["history"].values()} == {4}
    first = record["phases"]["clustering"]
    (late,) = (curve for curve in record["history"].values() if np.isnan(curve).any())
    np.testing.assert_array_equal(np.isnan(late), np.arange(1, 5) < first)


def test_progress_bar_that_the_call_sets(pbmc, capsys):
    sc.settings.verbosity = 0
    scx.tl.contrastive(pbmc, 3, **QUICK, train_kwargs={"enable_progress_bar": True})
    assert "epoch 2/2" in "".join(capsys.readouterr())


@pytest.mark.parametrize("step", ["train", "get_latent_representation", "partition"])
def test_training_data_are_freed_after_an_error(pbmc, monkeypatch, step):
    working = []

    def spy(*args, **kwargs):
        data = prepare(*args, **kwargs)
        working.append(weakref.ref(data.adata))
        return data

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    prepare = walk.prepare
    monkeypatch.setattr(walk, "prepare", spy)
    monkeypatch.setattr(scx.model.Contrastive, step, fail)
    with suppress(KeyboardInterrupt):  # `pytest.raises` would keep the traceback, whose frames hold the data
        scx.tl.contrastive(pbmc, 3, **QUICK)
    gc.collect()
    assert [reference() for reference in working] == [None]
