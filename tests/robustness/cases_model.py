"""How the models are called, and what their parameters do at the bounds of what they allow."""

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import scx
from conftest import field_arguments
from robustness.data import N_OBS, N_VARS, small
from robustness.table import ODD, Case, Made, Outcome, Target, accepts, refuses
from scx._config import options_of
from scx._methods import METHODS
from scx._rng import global_seed

LONG = ("10**12", "10**30")  # would run that long
QUIET = {"enable_progress_bar": False}


def registered(cls: type, **kwargs: Any) -> Any:
    """Return small data set up for a model."""
    adata = small()
    cls.setup_anndata(adata, **kwargs)
    return adata


def setup(cls: type) -> dict[str, Any]:
    (method,) = (method for method in METHODS.values() if method.model == cls.__name__)
    return field_arguments(method)


def untrained(cls: type, **kwargs: Any) -> Any:
    with global_seed(0):
        return cls(registered(cls, **setup(cls)), **kwargs)


@cache
def trained(cls: type) -> Any:
    model = untrained(cls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with global_seed(0):
            model.train(1, **QUIET)
    return model


def options(known: Any, usual: dict[str, Any]) -> list[Case]:
    """Return cases for each option of a module or a plan: odd values, and no value of a kind that is never right."""
    never = (
        "complex",
        "bytes",
        "dict by int",
        "object",
        "type",
        "scalar array",
        "matrix",
        "table",
        "list of none",
        "list of list",
    )
    return [
        Case({**usual, name: value}, False if kind in never else None, label=f"{{{name!r}: {label}}}")
        for name in options_of(known)
        for label, value, kind in ODD
    ]  # fmt: skip


# setup_anndata


def setup_arg(done: Outcome, name: str) -> Any:
    cls = done.target.function.__self__
    return cls._get_most_recent_anndata_manager(done.arguments["adata"]).registry["setup_args"][name]


SETUP: dict[str, list[Case]] = {
    "adata": [
        accepts(Made(lambda: small().copy()), lambda done: setup_arg(done, "layer") is None, label="copy"),
        refuses(Made(lambda: small().X), "AnnData", label="matrix"),
    ],
    "layer": [
        accepts("counts", lambda done: setup_arg(done, "layer") == "counts"),
        refuses("no", "counts"),
    ],
    "size_factor_key": [
        accepts("n_counts", lambda done: setup_arg(done, "size_factor_key") == "n_counts"),
        refuses("no", "n_counts"),
        refuses("labels"),
    ],
    "batch_key": [
        accepts(None, lambda done: setup_arg(done, "batch_key") is None),
        refuses("no"),
    ],
    "kwargs": [
        accepts({}, lambda done: setup_arg(done, "layer") is None),
        refuses({"layers": "counts"}, "layer"),
    ],
    "labels_key": [
        accepts("labels", lambda done: setup_arg(done, "labels_key") == "labels"),
        refuses("no", "some_labels"),
    ],
    "unlabeled_category": [
        accepts("a", lambda done: scx.model.SemiAAE(done.arguments["adata"]).types_ == ("b", "c"), labels_key="labels"),
        accepts("Unknown", lambda done: scx.model.SemiAAE(done.arguments["adata"]).types_ == ("a", "b", "c"), labels_key="some_labels"),
        refuses(3),
    ],
}  # fmt: skip

BATCHES: dict[str, list[Case]] = {
    "batch_key": [
        accepts("batch", lambda done: list(done.arguments["adata"].obs["_scx_batch"].cat.categories) == ["0", "1"]),
        accepts(None, lambda done: "_scx_batch" not in done.arguments["adata"].obs),
        refuses("no", "some_labels"),
        refuses("n_counts", "10 cells per batch"),
    ],
}
"""Of models that know batches."""

# __init__

INIT: dict[str, list[Case]] = {
    "adata": [
        refuses(Made(small), "setup_anndata", label="not set up"),
        refuses(None),
    ],
    "registry": [
        accepts(None, lambda done: done.returned.adata is done.arguments["adata"]),
        refuses(3),
    ],
    "recipe": [
        accepts("default", lambda done: done.returned.recipe_ == "default"),
        accepts("paper", lambda done: done.returned.recipe_ == "paper"),
        refuses("Paper", "'default', 'paper'"),
    ],
    "module_kwargs": [
        accepts({"n_latent": 2}, lambda done: done.returned.module.config.n_latent == 2),
        refuses({"max_valu": 3.0}, "max_value"),
        refuses({"n_latent": 0}),
        refuses({"max_value": float("nan")}),
    ],
    "types": [
        accepts(["x", "y"], lambda done: done.returned.types_ == ("x", "y")),
        accepts([], lambda done: done.returned.types_ == ()),
        refuses("xy"),
        refuses([1, 2]),
    ],
}  # fmt: skip


def init_rows(cls: type) -> dict[str, list[Case]]:
    own = Made(lambda: registered(cls, **setup(cls)))
    adata = [accepts(own, lambda done: done.returned.summary_stats.n_vars == N_VARS, label="set up"), *INIT["adata"]]
    return {
        **INIT,
        "adata": adata,
        "module_kwargs": [*INIT["module_kwargs"], *options(type(cls.recipes["default"].module), {})],
    }


# train


def history(done: Outcome) -> Any:
    return done.arguments["self"].history["loss"]


TRAIN: dict[str, list[Case]] = {
    "max_epochs": [
        accepts(1, lambda done: len(history(done)) == 1),
        accepts(np.int64(2), lambda done: len(history(done)) == 2),
        refuses(0),
    ],
    "batch_size": [
        accepts(2, lambda done: np.isfinite(history(done).astype(float)).all(axis=None)),
        accepts(np.int32(N_OBS), lambda done: np.isfinite(history(done).astype(float)).all(axis=None)),
        accepts(N_OBS - 1, lambda done: np.isfinite(history(done).astype(float)).all(axis=None)),
        refuses(1),
        refuses(0),
    ],
    "accelerator": [
        accepts("cpu", lambda done: str(done.arguments["self"].device) == "cpu"),
        refuses("warp"),
    ],
    "devices": [
        accepts(1, lambda done: done.arguments["self"].trainer.num_devices == 1),
        refuses(0),
    ],
    "plan_kwargs": [
        accepts({}, lambda done: len(history(done)) == 1),
        accepts({"lr": 1e-8}, lambda done: done.arguments["self"].trainer.lightning_module.config.lr == 1e-8),
        refuses({"lrr": 3}, "lr"),
        refuses({"lr": 0}),
        refuses({"schedule": "cosinus"}, "cosine"),
    ],
    "early_stopping": [
        accepts(True, lambda done: "instability" in done.arguments["self"].history),
        accepts(False, lambda done: "instability" not in done.arguments["self"].history),
        refuses("loss"),
    ],
    "snapshot_epochs": [
        accepts([0, 1], lambda done: list(done.arguments["self"].snapshots) == [0, 1]),
        accepts((), lambda done: done.arguments["self"].snapshots == {}),
        accepts({1}, lambda done: list(done.arguments["self"].snapshots) == [1]),
        refuses([2]),
        refuses([-1]),
        refuses(1),
    ],
    "callbacks": [
        accepts([], lambda done: len(history(done)) == 1),
        refuses(["early"]),
        refuses(3),
    ],
    "trainer_kwargs": [
        accepts({"log_every_n_steps": 1, **QUIET}, lambda done: len(history(done)) == 1),
        refuses({"epochs": 3}),
    ],
}  # fmt: skip

# what a trained model gives


def cells_of(done: Outcome) -> int:
    return len(done.returned)


def as_before(rows: Any) -> Callable[[Outcome], bool]:
    """Whether the rows are those of the call without the argument, up to what batches do to rounding."""

    def effect(done: Outcome) -> bool:
        here, there = np.asarray(done.returned), np.asarray(done.reference.returned)[rows]
        return np.allclose(here, there, atol=1e-4) if here.dtype.kind == "f" else here.tolist() == there.tolist()

    return effect


ALL = slice(None)
READ: dict[str, list[Case]] = {
    "adata": [
        accepts(None, as_before(ALL)),
        accepts(Made(small), as_before(ALL), label="fresh"),
        accepts(Made(lambda: small()[:, ::-1].copy()), as_before(ALL), label="genes in another order"),
        accepts(Made(lambda: small()[[3]].copy()), as_before([3]), label="one cell"),
        refuses(Made(lambda: small()[:, :-1].copy()), "gene", label="a gene less"),
        refuses(Made(lambda: small()[:0].copy()), label="no cell"),
    ],
    "indices": [
        accepts(None, as_before(ALL)),
        accepts([N_OBS - 1, 0, 0], as_before([N_OBS - 1, 0, 0])),
        accepts([-1], as_before([-1])),
        accepts(np.arange(N_OBS) < 2, as_before([0, 1])),
        refuses([N_OBS], str(N_OBS)),
        refuses([-N_OBS - 1]),
        refuses([0.5]),
        refuses(["cell0"]),
        refuses(np.ones(N_OBS - 1, dtype=bool)),
        refuses([]),
    ],
    "batch_size": [
        accepts(7, as_before(ALL)),
        accepts(np.int64(10**9), as_before(ALL)),
        refuses(0),
        refuses(-1),
    ],
    "give_mean": [
        accepts(True, as_before(ALL)),
        accepts(False, lambda done: not np.allclose(done.returned, done.reference.returned)),
    ],
    "soft": [
        accepts(True, lambda done: list(done.returned.columns) == ["a", "b", "c"] and np.allclose(done.returned.sum(axis=1), 1)),
        accepts(False, as_before(ALL)),
    ],
}  # fmt: skip

ELBO = {
    **READ,
    "adata": [accepts(Made(small), lambda done: np.isfinite(done.returned), label="fresh"), *READ["adata"][-2:]],
    "indices": [accepts([0], lambda done: np.isfinite(done.returned)), *READ["indices"][4:]],
    "batch_size": [accepts(1, lambda done: np.isfinite(done.returned)), *READ["batch_size"][2:]],
}


def _targets(cls: type) -> list[Target]:
    name = f"model.{cls.__name__}"
    long = {"max_epochs": LONG}

    def training() -> dict[str, Any]:
        return {"self": untrained(cls), "max_epochs": 1, "batch_size": 16, "trainer_kwargs": QUIET}

    plan = options(type(cls.recipes["default"].training), {})
    train_rows = {**TRAIN, "plan_kwargs": [*TRAIN["plan_kwargs"], *plan]}
    set_up = SETUP | (BATCHES if cls.knows_batches else {})
    found = [
        Target(f"{name}.setup_anndata", cls.setup_anndata, lambda: {"adata": small()}, set_up),
        Target(f"{name}.__init__", cls, lambda: {"adata": registered(cls, **setup(cls))}, init_rows(cls)),
        Target(f"{name}.train", cls.train, training, train_rows, long),
    ]
    for method in ("get_latent_representation", "predict", "get_elbo", "get_normalized_expression"):
        function = getattr(cls, method, None)
        if function is not None and function.__module__.startswith("scx."):
            rows = ELBO if method == "get_elbo" else READ
            found.append(Target(f"{name}.{method}", function, lambda: {"self": trained(cls)}, rows))
    return found


def saved() -> str:
    folder = Path(tempfile.mkdtemp()) / "model"
    trained(scx.model.Contrastive).save(folder)
    return str(folder)


def embeds_as_before(done: Outcome) -> bool:
    expected = trained(scx.model.Contrastive).get_latent_representation()
    return np.array_equal(done.returned.get_latent_representation(small()), expected)


LOAD = {
    "path": [
        accepts(Made(saved), embeds_as_before, label="text"),
        accepts(Made(lambda: Path(saved())), embeds_as_before, label="path"),
        refuses("no such folder", "no such folder"),
        refuses("a\0b", "no such folder"),
        refuses("~no such user/model", "no such folder"),
        refuses(".", "manifest.json is missing"),
    ]
}

TARGETS = [
    *(target for method in METHODS.values() for target in _targets(method.model_cls)),
    Target("model.load", scx.model.load, lambda: {"path": saved()}, LOAD),
]
