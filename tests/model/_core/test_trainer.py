"""Training that goes wrong or is stopped, what trainers may be asked to do, and the session afterwards."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from scvi.train import SaveCheckpoint

import scx
from robustness.identical import assert_identical, frozen
from scx._methods import METHODS
from scx.model._core.trainer import check_trainer


def trained(method, adata, max_epochs=1, **kwargs):
    method.model_cls.setup_anndata(adata)
    model = method.model_cls(adata)
    model.train(max_epochs, enable_progress_bar=False, **kwargs)
    return model


class Spoil(pl.Callback):
    """Fill all weights with a value before the last step of an epoch is seen as over."""

    def __init__(self, value):
        self.value = value

    def on_train_batch_end(self, trainer, pl_module, *args):
        with torch.no_grad():
            for weights in pl_module.parameters():
                weights.fill_(self.value)


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize(
    ("value", "what"),
    [(float("nan"), "NaN or infinite|weights became infinite"), (0.0, "all cells have the same embedding")],
)
def test_diverged_training_is_an_error_that_names_the_learning_rate(method, pbmc, recipe, value, what):
    before = frozen(pbmc)
    with pytest.raises(RuntimeError, match=rf"diverged: .*({what}).*Lower the learning rate, which was lr="):
        method.run(pbmc, recipe=recipe, train_kwargs={"callbacks": [Spoil(value)]})
    assert_identical(pbmc, before)


def test_a_learning_rate_beyond_reason_diverges(pbmc):
    with pytest.raises(RuntimeError, match=r"diverged.*lr=10"):
        scx.tl.cicl(pbmc, 3, recipe="paper", max_epochs=9, n_top_genes=50, train_kwargs={"plan_kwargs": {"lr": 10}})


def test_a_diverged_model_counts_as_untrained(method, pbmc, capsys):
    method.model_cls.setup_anndata(pbmc)
    model = method.model_cls(pbmc)
    with pytest.raises(RuntimeError, match="epoch 1 ended with NaN"):
        model.train(5, enable_progress_bar=False, callbacks=[Spoil(float("nan"))])
    assert model.trainer.current_epoch == 0  # no hours are wasted
    with pytest.raises(RuntimeError, match="train"):
        model.get_latent_representation()
    assert capsys.readouterr().out == ""


INTERRUPTED = """
import json, os, signal, sys
import lightning.pytorch as pl
import scanpy as sc
import scx
sys.path.insert(0, sys.argv[1])
from robustness.identical import assert_identical, frozen

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this in the background, deaf to it

class Interrupt(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

sc.settings.verbosity = 0
adata = scx.datasets.pbmc68k_reduced()[:120].copy()
before = frozen(adata)
for name in sys.argv[2:]:
    try:
        getattr(scx.tl, name)(adata, 3, max_epochs=3, batch_size=60, n_top_genes=50, train_kwargs={"callbacks": [Interrupt()]})
    except KeyboardInterrupt:
        print(name)
    assert_identical(adata, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
scx.tl.contrastive(adata, 3, max_epochs=1, n_top_genes=50)  # the session goes on
try:
    os.kill(os.getpid(), signal.SIGINT)
    import time; time.sleep(10)
except KeyboardInterrupt:
    print("again")
"""


@pytest.mark.slow
def test_ctrl_c_reaches_the_caller_and_the_session_goes_on():
    names = list(METHODS)
    tests = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, tests, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*names, "again"]


def test_an_interrupt_in_another_thread_is_one_too(pbmc):
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, *args):
            raise KeyboardInterrupt

    caught = []

    def run():
        try:
            scx.tl.contrastive(pbmc, 3, max_epochs=1, n_top_genes=50, train_kwargs={"callbacks": [Interrupt()]})
        except BaseException as error:  # noqa: BLE001
            caught.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert caught == [KeyboardInterrupt]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"devices": 2},
        {"devices": [0, 1]},
        {"devices": "0,1"},
        {"accelerator": "cpu", "devices": 3},
        {"train_kwargs": {"num_nodes": 2}},
        {"train_kwargs": {"strategy": "ddp"}},
        {"train_kwargs": {"strategy": "ddp_notebook"}},
    ],
)
def test_several_devices_are_refused(pbmc, kwargs):
    before = frozen(pbmc)
    with pytest.raises(ValueError, match="scx trains on one"):
        scx.tl.contrastive(pbmc, 3, **kwargs)
    assert_identical(pbmc, before)
    scx.model.Contrastive.setup_anndata(pbmc)
    model = scx.model.Contrastive(pbmc)
    further = {**kwargs, **kwargs.get("train_kwargs", {})}
    further.pop("train_kwargs", None)
    with pytest.raises(ValueError, match="scx trains on one"):
        model.train(1, **further)


def test_all_gpus_are_several_devices(monkeypatch):
    from lightning.pytorch.accelerators import CUDAAccelerator

    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr("lightning.fabric.accelerators.cuda.num_cuda_devices", lambda: 2)
    for devices in (-1, "-1"):
        with pytest.raises(ValueError, match="scx trains on one"):
            check_trainer("cuda", devices, {})


@pytest.mark.parametrize(
    "kwargs",
    [
        {"logger": True},
        {"fast_dev_run": True},
        {"fast_dev_run": 2},
        {"limit_train_batches": 0},
        {"limit_train_batches": 0.0},
        {"max_steps": 0},
        {"overfit_batches": 2},
        {"barebones": True},
        {"enable_checkpointing": True},
        {"precision": "64-true"},
        {"precision": "bf16-true"},
        {"max_time": "soon"},
        {"progress_bar_refresh_rate": 7, "enable_progress_bar": True},
        {"limit_train_batches": 0.001},
    ],
)
def test_options_that_leave_no_result_are_refused(pbmc, kwargs):
    before = frozen(pbmc)
    with pytest.raises(ValueError, match=f"{next(iter(kwargs))}"):
        scx.tl.contrastive(pbmc, 3, max_epochs=2, n_top_genes=50, train_kwargs=kwargs)
    assert_identical(pbmc, before)


@pytest.mark.parametrize("kwargs", [{"logger": 3}, {"callbacks": 3}, {"callbacks": [3]}, {"callbacks": pl.Callback()}])
def test_loggers_and_callbacks_are_those_of_lightning(pbmc, kwargs):
    with pytest.raises(TypeError, match=next(iter(kwargs))):
        scx.tl.contrastive(pbmc, 3, train_kwargs=kwargs)


def test_a_checkpoint_that_training_would_read_back_is_refused(pbmc):
    best = SaveCheckpoint(monitor="loss", load_best_on_end=True)
    with pytest.raises(ValueError, match=r"load_best_on_end.*scx.model.load"):
        scx.tl.contrastive(pbmc, 3, n_top_genes=50, train_kwargs={"callbacks": [best]})


@pytest.mark.parametrize(("name", "value"), [("gradient_clip_val", 1.0), ("accumulate_grad_batches", 2)])
def test_what_two_optimizers_cannot_do_is_refused(pbmc, monkeypatch, name, value):
    monkeypatch.setattr(scx.model.SemiAAE, "train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"`{name}=.*SemiAAE has several optimizers"):
        scx.tl.semiaae(pbmc, 3, max_epochs=1, n_top_genes=50, train_kwargs={name: value})


def options(folder):
    return [
        {"logger": False},
        {"logger": CSVLogger(folder / "csv")},
        {"max_steps": 1},
        {"max_time": "00:00:10:00"},
        {"limit_train_batches": 1},
        {"deterministic": True},
        {"callbacks": [SaveCheckpoint(dirpath=str(folder / "checkpoint"), monitor="loss")]},
        {"profiler": "simple"},
        {"precision": "bf16-mixed"},
        {"log_save_dir": str(folder / "log")},
    ]


@pytest.mark.parametrize("position", range(10))
def test_options_that_work_leave_a_history_and_can_be_written(pbmc, tmp_path, monkeypatch, position):
    monkeypatch.chdir(tmp_path)
    scx.tl.contrastive(pbmc, 3, max_epochs=2, n_top_genes=50, train_kwargs=options(tmp_path)[position])
    assert np.isfinite(pbmc.uns["contrastive"]["history"]["loss"]).all()
    for form in ("h5ad", "zarr"):
        getattr(pbmc, f"write_{form}")(tmp_path / f"x.{form}")
    assert not {"scvi_log", "lightning_logs"} & set(os.listdir(tmp_path))  # noqa: PTH208


def test_checkpoints_of_scvi_tools_are_models_that_load(pbmc, tmp_path):
    checkpoint = SaveCheckpoint(dirpath=str(tmp_path), monitor="loss")
    scx.tl.contrastive(pbmc, 3, max_epochs=2, n_top_genes=50, train_kwargs={"callbacks": [checkpoint]})
    model = scx.model.load(checkpoint.best_model_path)
    assert np.isfinite(model.get_latent_representation(pbmc)).all()
    with pytest.raises(ValueError, match="write_h5ad"):
        model.save(tmp_path / "with data", save_anndata=True)


@pytest.mark.parametrize("max_time", ["00:00:00:00", {"seconds": 0}, {"seconds": -1}, timedelta(0)])
def test_no_time_is_refused_before_training(pbmc, monkeypatch, max_time):
    monkeypatch.setattr(scx.model.Contrastive, "train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"`max_time=.*leaves no time"):
        scx.tl.contrastive(pbmc, 3, n_top_genes=50, train_kwargs={"max_time": max_time})


def test_training_that_ends_before_its_first_epoch_is_an_error(pbmc):
    class Stop(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            trainer.should_stop = True

    with pytest.raises(RuntimeError, match=r"before its first epoch.*`max_time`"):
        scx.tl.contrastive(pbmc, 3, max_epochs=2, n_top_genes=50, train_kwargs={"callbacks": [Stop()]})


@pytest.mark.parametrize("monitor", ["elbo", "generator_loss", "clustering_loss"])
def test_a_monitor_that_not_every_epoch_has_is_refused_before_training(method, pbmc, monkeypatch, monitor):
    monkeypatch.setattr(method.model_cls, "train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"Unknown `early_stopping_monitor`.*'instability', 'loss'"):
        method.run(pbmc, train_kwargs={"early_stopping": True, "early_stopping_monitor": monitor})


def test_each_loss_of_every_epoch_can_be_monitored(method, pbmc):
    for monitor in method.model_cls._module_cls.losses:
        adata = pbmc[:80].copy()
        method.run(adata, train_kwargs={"early_stopping": True, "early_stopping_monitor": monitor})
        assert np.isfinite(adata.uns[method.name]["history"][monitor]).all()


def test_a_share_of_no_batch_is_refused_before_training(pbmc, monkeypatch):
    monkeypatch.setattr(scx.model.Contrastive, "_fit_normalization", lambda self: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"`limit_train_batches=0.3` leaves none of 3 batches.*at least 0.333"):
        trained(SimpleNamespace(model_cls=scx.model.Contrastive), pbmc, batch_size=100, limit_train_batches=0.3)


def test_no_epoch_is_no_training(method, pbmc):
    with pytest.raises(ValueError, match=r"`max_epochs` must be .*at least 1"):
        trained(method, pbmc, 0)
    with pytest.raises(ValueError, match=r"`batch_size` must be .*at least 2"):
        trained(method, pbmc, 1, batch_size=1)


def test_integers_of_numpy_are_integers(method, pbmc):
    numbers = {"max_epochs": 1, "batch_size": 50, "n_latent": 4, "n_runs": 1, "rng": 3, "n_top_genes": 40, "devices": 1}
    other = pbmc.copy()
    method.run(other, 3, **numbers)
    method.run(pbmc, np.int16(3), **{name: np.int64(value) for name, value in numbers.items()})
    np.testing.assert_array_equal(pbmc.obsm[f"X_{method.name}"], other.obsm[f"X_{method.name}"])


def test_the_session_is_as_it_was(method, pbmc, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)

    def session():
        return (
            dict(os.environ),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.benchmark,
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
        )

    before = session()
    method.run(pbmc, train_kwargs={"deterministic": True})
    assert session() == before
    trained(method, pbmc, deterministic="warn")
    assert session() == before
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_threads_take_turns(method, pbmc, tmp_path):
    """Two threads give what they give one after the other, and leave generators and log levels as they were."""
    import logging

    expected = {rng: method.run(pbmc, rng=rng, copy=True) for rng in (1, 2)}
    found = {}
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "scvi")]

    def state():
        return [*np.random.get_state()[1], *torch.get_rng_state().tolist(), *(one.level for one in loggers)]  # noqa: NPY002

    before = state()
    barrier = threading.Barrier(2)

    def run(rng):
        barrier.wait()
        found[rng] = method.run(pbmc, rng=rng, copy=True)

    threads = [threading.Thread(target=run, args=(rng,)) for rng in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rng in (1, 2):
        np.testing.assert_array_equal(found[rng].obsm[f"X_{method.name}"], expected[rng].obsm[f"X_{method.name}"])
        assert found[rng].obs[method.name].tolist() == expected[rng].obs[method.name].tolist()
    assert state() == before


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_the_smallest_batches_of_an_odd_number_of_cells(method, pbmc, recipe):
    cells = pbmc[:61].copy()
    method.run(cells, 3, batch_size=2, max_epochs=1, recipe=recipe)
    assert np.isfinite(cells.obsm[f"X_{method.name}"]).all()
