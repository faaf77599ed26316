"""An error at any step of a call leaves the data as they were, or wholly written."""

import lightning.pytorch as pl
import numpy as np
import pytest
from anndata._core.aligned_mapping import AxisArrays

import scx
from conftest import CASES_WITH_FIELDS
from robustness.identical import assert_identical, frozen
from scx._workflow import walk as _workflow
from scx._workflow import write as _write
from scx._workflow.keys import Keys
from scx.model._core.setup import ModelSetup

pytestmark = pytest.mark.slow

EPOCHS = 3


class Fault(Exception):
    """What nobody expects."""


def fail(*args, **kwargs):
    raise Fault


class FailInEpoch(pl.Callback):
    """Raise in one hook of one epoch."""

    def __init__(self, hook, epoch):
        self.epoch = epoch
        setattr(self, hook, self._fail)

    def _fail(self, trainer, *args):
        if trainer.current_epoch == self.epoch:
            raise Fault


@pytest.fixture(params=CASES_WITH_FIELDS, ids=str)
def method(request):
    return request.param


@pytest.fixture
def cells(pbmc):
    """A few cells with something of everything beside the counts."""
    few = pbmc[:60].copy()
    few.raw = few
    few.layers["counts"] = few.X.copy()
    few.varm["PCs"] = np.ones((few.n_vars, 2))
    few.obsp["graph"] = few.X[:, :60].copy()
    few.uns["nested"] = {"list": [1, 2], "array": np.arange(3)}
    return few


def run(method, cells, **kwargs):
    return method.run(cells, **{"max_epochs": EPOCHS, "batch_size": 30, "n_top_genes": 40, **kwargs})


STEPS = {
    "prepare": "scx._workflow.walk.prepare",
    "set up": "scx.model.{model}.setup_anndata",
    "build": "scx.model.{model}.__init__",
    "fit normalisation": "scx.model.{model}._fit_normalization",
    "finish training": "scx.model.{model}._finish_training",
    "embed": "scx.model.{model}.get_latent_representation",
    "cluster": "scx.model.{model}.partition",
    "consensus": "scx._workflow.train.consensus_of_runs",
    "settings": "scx._workflow.write.plain",
    "categories": "scx._workflow.write.categorical",
}


@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_a_step_leaves_the_data_as_they_were(method, cells, monkeypatch, step):
    before = frozen(cells)
    monkeypatch.setattr(STEPS[step].format(model=method.model), fail)
    with pytest.raises(Fault):
        run(method, cells, n_runs=2 if step == "consensus" else 1, max_epochs=1)
    assert_identical(cells, before)


HOOKS = [
    ("on_train_epoch_start", 0),
    ("on_train_batch_start", EPOCHS // 2),
    ("on_train_batch_end", EPOCHS - 1),
    ("on_train_epoch_end", 0),
    ("on_train_epoch_end", EPOCHS - 1),
    ("on_fit_end", EPOCHS),
]


@pytest.mark.parametrize(("hook", "epoch"), HOOKS)
def test_an_error_in_an_epoch_leaves_the_data_as_they_were(method, cells, hook, epoch):
    run(method, cells, max_epochs=1)  # an earlier result is not lost either
    before = frozen(cells)
    with pytest.raises(Fault):
        run(method, cells, train_kwargs={"callbacks": [FailInEpoch(hook, epoch)]})
    assert_identical(cells, before)


@pytest.mark.parametrize("error", [Fault, KeyboardInterrupt])
def test_an_error_in_writing_a_field_leaves_the_data_as_they_were(method, cells, monkeypatch, error):
    """Each field in turn fails, of a second run that also has stale fields to delete."""
    run(method, cells, max_epochs=2, train_kwargs={"snapshot_epochs": [1]}, rng=1)
    before = frozen(cells)
    written = {}

    def record(adata, fields, stale):
        written["fields"], written["stale"] = dict(fields), set(stale)
        raise Fault

    with monkeypatch.context() as patch:
        patch.setattr(_write, "_set_fields", record)
        with pytest.raises(Fault):
            run(method, cells, max_epochs=1)
    assert_identical(cells, before)
    fields, stale = written["fields"], written["stale"]
    assert stale == {("obsm", f"X_{method.name}_snapshots"), ("obsm", f"{method.name}_snapshots")}

    class Bad(dict):
        """Fields, one of which cannot be had."""

        def __init__(self, fields, position):
            super().__init__(fields)
            self.position = position

        def items(self):
            for position, item in enumerate(super().items()):
                if position == self.position:
                    raise error
                yield item
            if self.position == len(self):
                raise error

    for position in range(len(fields) + 1):
        with pytest.raises(error):
            _write._set_fields(cells, Bad(fields, position), stale)
        assert_identical(cells, before)
    with monkeypatch.context() as patch:
        patch.setattr(AxisArrays, "__delitem__", fail)
        with pytest.raises(Fault):
            _write._set_fields(cells, fields, stale)
    assert_identical(cells, before)
    _write._set_fields(cells, fields, stale)
    assert_identical(cells, before, ignore=Keys(method.name).everything)
    assert not stale & {("obsm", name) for name in cells.obsm}


def test_a_field_that_the_data_refuse_leaves_them_as_they_were(cells):
    before = frozen(cells)
    fields = {("obs", "new"): np.zeros(cells.n_obs), ("obsm", "X_new"): np.zeros((cells.n_obs + 1, 2))}
    with pytest.raises(ValueError, match=r"shape|length"):
        _write._set_fields(cells, fields, {("obs", "bulk_labels")})
    assert_identical(cells, before)


def test_an_error_in_saving_leaves_the_data_wholly_written(method, cells, tmp_path, monkeypatch):
    expected = cells.copy()
    run(method, expected, max_epochs=1)
    monkeypatch.setattr(ModelSetup, "save", fail)
    with pytest.raises(OSError, match="results are written, but the model could not be saved"):
        run(method, cells, max_epochs=1, model_dir=tmp_path / "model")
    assert_identical(cells, frozen(expected))
    assert not list(tmp_path.iterdir())


def test_a_copy_leaves_the_data_as_they_were(method, cells, monkeypatch):
    before = frozen(cells)
    run(method, cells, max_epochs=1, copy=True)
    assert_identical(cells, before)
    monkeypatch.setattr(_workflow, "write", fail)
    with pytest.raises(Fault):
        run(method, cells, max_epochs=1, copy=True)
    assert_identical(cells, before)


@pytest.mark.parametrize(
    "step", ["sklearn.cluster.KMeans.fit", "scx._workflow.walk.check_partition", "scx._workflow.write.plain"]
)
@pytest.mark.parametrize("name", ["cluster", "consensus"])
def test_clustering_alone_leaves_the_data_as_they_were_too(cells, monkeypatch, step, name):
    cells.obsm["X_rep"] = np.random.default_rng(0).normal(size=(60, 3))
    monkeypatch.setattr(step, fail)
    arguments = {"use_rep": "X_rep"} if name == "cluster" else {"keys": ["bulk_labels", "louvain"]}
    cells.obs["louvain"] = cells.obs["bulk_labels"]
    before = frozen(cells)
    with pytest.raises(Fault):
        getattr(scx.tl, name)(cells, n_clusters=3, **arguments)
    assert_identical(cells, before)
