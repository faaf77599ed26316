"""How the functions of ``scx.tl`` are called, and what their parameters do at the bounds of what they allow."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

import scx
from conftest import field_arguments
from robustness.data import N_OBS, N_VARS, small
from robustness.table import Case, Made, Outcome, Target, accepts, refuses
from scx._methods import METHODS

KEY = "key"


def same(done: Outcome) -> bool:
    """Whether the call gave the same as without the argument."""
    here, there = done.adata, done.reference.adata
    equal_clusters = here.obs[KEY].astype(str).tolist() == there.obs[KEY].astype(str).tolist()
    return equal_clusters and _embedding(here).tobytes() == _embedding(there).tobytes()


def other(done: Outcome) -> bool:
    """Whether the call gave something else than without the argument."""
    return _embedding(done.adata).tobytes() != _embedding(done.reference.adata).tobytes()


def _embedding(adata: Any) -> np.ndarray:
    return adata.obsm.get(f"X_{KEY}", np.zeros(0))


def param(done: Outcome, name: str) -> Any:
    """Return an entry of the record of the run."""
    return done.adata.uns[KEY]["params"][name]


def written_under(key: str) -> Any:
    return lambda done: key in done.adata.obs and key in done.adata.uns and KEY not in done.adata.obs


COMMON: dict[str, list[Case]] = {
    "adata": [
        accepts(Made(lambda: small()[np.arange(N_OBS) % 10 < 4]), lambda done: done.adata.obs[KEY].shape == (12,), label="view"),
        accepts(Made(lambda: small()[: N_OBS // 3].copy()), lambda done: done.adata.obs[KEY].notna(), label="10 cells"),
        refuses(Made(lambda: small()[:9].copy()), "9 cells", label="9 cells"),
        refuses(Made(lambda: small()[:0].copy()), "0 cells", label="no cell"),
    ],
    "n_clusters": [
        accepts(2, lambda done: done.adata.obs[KEY].nunique() == 2),
        accepts(np.int64(2), lambda done: done.adata.obs[KEY].nunique() == 2),
        refuses(1, "between 2 and"),
        refuses(0, "between 2 and"),
        refuses(N_OBS + 1, "between 2 and"),
    ],
    "key_added": [
        accepts("k", written_under("k")),
        accepts("κ 1", written_under("κ 1")),
        *(refuses(name) for name in ("", " ", "a/b", ".", "..", "_index", "a\0b", "x" * 300, "labels")),
    ],
    "rng": [
        accepts(0, same),
        accepts(np.int64(0), same),
        accepts(2**63, lambda done: done.adata.obs[KEY].notna()),
        accepts(Made(lambda: np.random.default_rng(0)), lambda done: "rng" not in done.adata.uns[KEY]["params"], label="generator"),
        refuses(-1, "at least 0"),
    ],
    "copy": [
        accepts(True, lambda done: KEY in done.returned.obs and KEY not in done.arguments["adata"].obs),
        accepts(False, lambda done: done.returned is None and KEY in done.arguments["adata"].obs),
        accepts(np.True_, lambda done: KEY in done.returned.obs),
    ],
}  # fmt: skip


def n_components(done: Outcome) -> int:
    """Return the number of principal components in the embedding by default."""
    recipe = getattr(scx.model, param(done, "method")).recipes["default"]
    return min(N_VARS, recipe.settings().get("n_components", 0))


RANGES: list[Case] = [
    accepts((2, 5), lambda done: 2 <= done.adata.obs[KEY].nunique() <= 5 and list(done.adata.uns[KEY]["n_clusters"]["asked"]) == [2, 5]),
    accepts(np.array([4, 5]), lambda done: done.adata.uns[KEY]["n_clusters"]["chosen"] in (4, 5)),
    accepts([3, 3], lambda done: done.adata.uns[KEY]["n_clusters"]["chosen"] == 3),
    refuses((5, 2), "least number first"),
    refuses((1, 5), "between 2 and"),
    refuses((2, N_OBS + 1), "between 2 and"),
    refuses((2, 3, 4), "(4, 20)"),
    refuses((2,), "(4, 20)"),
]  # fmt: skip


def renamed() -> ad.AnnData:
    """Return the small data with the names of genes in a column."""
    adata = small()
    adata.var["symbol"] = adata.var_names
    adata.var_names = [f"ID{i}" for i in range(N_VARS)]
    return adata


def with_column(name: str, value: Any) -> ad.AnnData:
    adata = small()
    adata.obs[name] = value
    return adata


def model_is_saved(done: Outcome) -> bool:
    folder = Path(done.arguments["model_dir"]).expanduser()
    return (folder / "manifest.json").exists() and [
        path.name for path in folder.parent.iterdir() if "tmp" in path.name
    ] == []


METHOD: dict[str, list[Case]] = {
    **COMMON,
    "n_clusters": [
        *COMMON["n_clusters"],
        *RANGES,
        accepts(None, lambda done: done.adata.uns[KEY]["n_clusters"]["chosen"] == done.adata.obs[KEY].nunique()),
    ],
    "key_added": [*COMMON["key_added"], refuses("emb", "X_emb")],
    "rng": [*COMMON["rng"], accepts(1, other)],
    "layer": [
        accepts("counts", same),
        accepts(None, same),
        refuses("no", "counts"),
        refuses("logged", "log-transformed"),
    ],
    "batch_key": [
        accepts(None, same),
        refuses("no"),
    ],
    "mask_var": [
        accepts(None, lambda done: param(done, "n_genes") == N_VARS),
        accepts("ten", lambda done: param(done, "n_genes") == 10),
        accepts(np.arange(N_VARS) < 5, lambda done: param(done, "n_genes") == 5),
        accepts([True] * N_VARS, lambda done: param(done, "n_genes") == N_VARS),
        refuses(np.arange(N_VARS) < 4, "4"),
        refuses(np.ones(N_VARS + 1, dtype=bool), f"{N_VARS} in all"),
        refuses(np.arange(N_VARS), "True or False"),
        refuses("name", "True or False"),
        refuses("no", "ten"),
        refuses("ten", "n_top_genes", n_top_genes=10),
    ],
    "n_top_genes": [
        accepts(5, lambda done: param(done, "n_genes") == 5),
        accepts(N_VARS, lambda done: param(done, "n_genes") == N_VARS),
        accepts(N_VARS + 1, lambda done: param(done, "n_genes") == N_VARS),
        accepts(np.int32(5), lambda done: param(done, "n_genes") == 5),
        refuses(4, "at least 5"),
        refuses(0, "at least 5"),
    ],
    "recipe": [
        accepts("default", same),
        accepts("paper", lambda done: param(done, "recipe") == "paper"),
        refuses("Paper", "'default', 'paper'"),
    ],
    "n_latent": [
        accepts(1, lambda done: done.adata.obsm[f"X_{KEY}"].shape == (N_OBS, 1 + n_components(done))),
        accepts(np.int16(2), lambda done: done.adata.obsm[f"X_{KEY}"].shape == (N_OBS, 2 + n_components(done))),
        refuses(0, "at least 1"),
    ],
    "max_epochs": [
        accepts(1, lambda done: len(done.adata.uns[KEY]["history"]["loss"]) == 1),
        accepts(np.int64(2), lambda done: len(done.adata.uns[KEY]["history"]["loss"]) == 2),
        refuses(0, "at least 1"),
    ],
    "batch_size": [
        accepts(2, lambda done: param(done, "batch_size") == 2 and np.isfinite(_embedding(done.adata)).all()),
        accepts(10**9, lambda done: np.isfinite(_embedding(done.adata)).all()),
        accepts(np.int64(16), same),
        refuses(1, "at least 2"),
        refuses(0, "at least 2"),
    ],
    "cluster": [
        *(accepts(name, lambda done, name=name: done.adata.uns[KEY]["cluster"] in (name, "types")) for name in ("kmeans", "gmm", "ward", "spectral", "leiden")),
        refuses("Leiden", "'leiden'"),
    ],
    "resolution": [
        accepts(np.float32(0.5), lambda done: done.adata.uns[KEY]["n_clusters"]["reason"] == "Leiden at resolution 0.5", cluster="leiden", n_clusters=None),
        refuses(0.0, "above 0", cluster="leiden"),
        refuses(1.0, 'cluster="leiden"', cluster="kmeans"),
    ],
    "n_runs": [
        accepts(1, lambda done: f"{KEY}_agreement" not in done.adata.obs),
        accepts(2, lambda done: done.adata.obs[f"{KEY}_agreement"].between(0, 1)),
        refuses(0, "at least 1"),
    ],
    "accelerator": [
        accepts("cpu", same),
        refuses("warp", '"auto"'),
    ],
    "devices": [
        accepts(1, same),
        accepts("auto", same),
        refuses(0),
        refuses(2, accelerator="cpu"),
        refuses("many", accelerator="cpu"),
    ],
    "model_dir": [
        accepts("saved", model_is_saved),
        accepts(Path("saved as path"), model_is_saved),
        refuses(".", "exists already"),
        refuses("no such parent/model"),
        refuses(""),
    ],
    "model_kwargs": [
        accepts({}, same),
        refuses({"max_valu": 3}, "max_value"),
        refuses({"n_latent": 3}, n_latent=4),
    ],
    "train_kwargs": [
        accepts({}, same),
        accepts({"snapshot_epochs": [0, 1]}, lambda done: done.adata.obsm[f"X_{KEY}_snapshots"].shape[:2] == (N_OBS, 2)),
        accepts({"logger": False}, same),
        refuses({"epochs": 3}, "early_stopping"),
        refuses({"max_epochs": 3}),
        refuses({"snapshot_epochs": [2]}),
        refuses({"plan_kwargs": {"lrr": 3}}, "lr"),
        refuses({"plan_kwargs": {"lr": float("nan")}}),
        refuses({"plan_kwargs": {"schedule": "cosinus"}}, "cosine"),
    ],
}  # fmt: skip

SEMIAAE: dict[str, list[Case]] = {
    "n_clusters": [
        accepts(3, lambda done: done.adata.obs[KEY].nunique() <= 3),
        accepts(None, lambda done: done.adata.uns[KEY]["n_clusters"]["chosen"] == done.adata.obs[KEY].nunique()),
        refuses(2, "labels have 3 types"),
        refuses((3, 6), "With labels"),
        refuses(N_OBS + 1, "between 2 and"),
    ],
    "labels_key": [
        accepts("labels", lambda done: set(done.adata.obs[f"{KEY}_prediction"].cat.categories) == {"a", "b", "c"}),
        accepts(None, lambda done: f"{KEY}_prediction" not in done.adata.obs),
        refuses("no", "labels"),
    ],
    "resolution": [
        accepts(1, lambda done: done.adata.uns[KEY]["n_clusters"]["reason"] == "Leiden at resolution 1.0", cluster="leiden", labels_key=None, n_clusters=None),
        refuses(1.0, "not used with labels", cluster="leiden", n_clusters=None),
    ],
    "unlabeled_category": [
        accepts("Unknown", lambda done: list(done.adata.uns[KEY]["types"]) == ["a", "b", "c"], labels_key="some_labels"),
        accepts("a", lambda done: list(done.adata.uns[KEY]["types"]) == ["b", "c"], labels_key="labels"),
        refuses("unknown", "Unknown", labels_key="some_labels"),
    ],
}  # fmt: skip

BATCHES: dict[str, list[Case]] = {
    "batch_key": [
        accepts(None, same),
        accepts("batch", other),
        refuses("no", "some_labels"),
        refuses("n_counts", "10 cells per batch"),
        refuses("constant", "one batch", adata=Made(lambda: with_column("constant", 1))),
        refuses("empty", "names no batch for 30 of 30", adata=Made(lambda: with_column("empty", np.nan))),
    ],
}
"""Of methods that know batches."""

CICL: dict[str, list[Case]] = {
    "n_latent": [  # layer normalisation of one dimension is 0 for every cell
        accepts(2, lambda done: done.adata.obsm[f"X_{KEY}"].shape == (N_OBS, 2 + n_components(done))),
        refuses(1, "at least 2"),
    ],
}
OWN = {"cicl": CICL, "semiaae": SEMIAAE}

CLUSTER: dict[str, list[Case]] = {
    **COMMON,
    "n_clusters": [
        *COMMON["n_clusters"],
        *RANGES,
        accepts(None, lambda done: done.adata.obs[KEY].nunique() == 3),
        accepts(N_OBS, lambda done: done.adata.obs[KEY].nunique() == N_OBS),
    ],
    "use_rep": [
        accepts("X_emb", lambda done: param(done, "use_rep") == "X_emb" and same(done)),
        refuses("no", "X_emb"),
    ],
    "method": [
        *(accepts(name, lambda done, name=name: done.adata.uns[KEY]["cluster"] == name and same(done)) for name in ("kmeans", "gmm", "ward", "spectral", "leiden")),
        refuses("K-means", "kmeans"),
    ],
    "resolution": [
        accepts(1, lambda done: done.adata.uns[KEY]["n_clusters"]["reason"] == "Leiden at resolution 1.0", method="leiden", n_clusters=None),
        refuses(0.0, "above 0", method="leiden"),
        refuses(1.0, "n_clusters", method="leiden", n_clusters=3),
    ],
}  # fmt: skip

CONSENSUS: dict[str, list[Case]] = {
    **COMMON,
    "n_clusters": [*COMMON["n_clusters"], accepts(None, lambda done: done.adata.obs[KEY].nunique() == 3)],
    "keys": [
        accepts(["run0", "run1"], lambda done: list(param(done, "keys")) == ["run0", "run1"]),
        accepts(("run0", "run1", "labels"), lambda done: list(param(done, "keys")) == ["run0", "run1", "labels"]),
        refuses(["run0"], "two"),
        refuses(["run0", "run0"], "two"),
        refuses(["run0", "no"], "run1"),
        refuses("run0"),
    ],
    "weights": [
        accepts([1, 1], same),
        accepts(np.array([0.2, 0.2], dtype=np.float32), same),
        accepts((1, 3.5), lambda done: list(param(done, "weights")) == [1, 3.5]),
        refuses([1.0], "2 different keys and 1 weights"),
        refuses([1.0, 1.0, 1.0], "2 different", keys=["run0", "run1", "run0"], label="a key twice"),
        refuses([1.0, 0.0], "positive"),
        refuses([1.0, -1.0], "positive"),
        refuses([1.0, np.nan], "positive"),
        refuses(["a", "b"], "number"),
        refuses({"run0": 1.0, "run1": 2.0}, "weights"),
        refuses(2.0, "weights"),
    ],
}

ENSEMBLE: dict[str, list[Case]] = {
    **COMMON,
    "n_clusters": METHOD["n_clusters"],
    "key_added": METHOD["key_added"],
    "layer": METHOD["layer"],
    "mask_var": [
        accepts(None, same),
        accepts("ten", other),
        accepts(np.arange(N_VARS) < 5, other),
        refuses(np.arange(N_VARS) < 4, "4"),
        refuses(np.ones(N_VARS + 1, dtype=bool), f"{N_VARS} in all"),
        refuses("no", "ten"),
    ],
    "members": [
        accepts({"pca": 1}, lambda done: len(done.adata.uns[KEY]["clusterings"]["score"]) == 2),
        accepts({"pca": np.int64(4)}, lambda done: len(done.adata.uns[KEY]["clusterings"]["score"]) == 8),
        refuses({}, "at least one of"),
        refuses({"pca": 0}, "at least 1"),
        refuses({"pca": 1.5}, "members"),
        refuses({"PCA": 1}, "pca"),
        refuses({"pca": 1, 2: 1}, "members"),
    ],
    "n_jobs": [
        accepts(1, same),
        accepts(np.int64(1), same),
        refuses(0, "-1"),
        refuses(1.5, "whole number"),
    ],
    "accelerator": [accepts("cpu", same), refuses("warp", '"auto"', members={"contrastive": 1})],
    "devices": [accepts(1, same), refuses("many", accelerator="cpu", members={"contrastive": 1})],
    "model_dir": METHOD["model_dir"],
}


@cache
def reference() -> str:
    """Folder of a model of the small data."""
    folder = Path(tempfile.mkdtemp()) / "model"
    scx.tl.contrastive(small(), 3, max_epochs=1, key_added=KEY, model_dir=folder)
    return str(folder)


def clusters_of_training(done: Outcome) -> bool:
    return list(done.adata.obs[f"{KEY}_closest"].cat.categories) == ["0", "1", "2"]


QUERY: dict[str, list[Case]] = {
    "adata": [
        accepts(Made(lambda: small()[:, ::-1].copy()), same, label="genes in another order"),
        accepts(Made(lambda: small()[[3]].copy()), lambda done: done.adata.obs[KEY].notna().all(), label="one cell"),
        accepts(Made(lambda: small()[:, 4:].copy()), clusters_of_training, warns="4 of the 20 genes", label="4 genes less"),
        refuses(Made(lambda: small()[:, 5:].copy()), "At most 20%", label="5 genes less"),
        refuses(Made(lambda: small()[:0].copy()), label="no cell"),
    ],
    "model": [
        accepts(Made(lambda: Path(reference())), clusters_of_training, label="path"),
        accepts(Made(lambda: scx.model.load(reference())), same, label="model"),
        refuses("no such folder", "no such folder"),
        refuses(".", "manifest.json is missing"),
    ],
    "key_added": [
        accepts("mine", lambda done: "mine" in done.adata.obs and "X_mine" in done.adata.obsm),
        accepts(None, lambda done: "contrastive" in done.adata.obs),
        refuses("labels", "labels"),
        refuses("", "empty"),
    ],
    "layer": [
        accepts("counts", same),
        accepts(None, same),
        refuses("no", "counts"),
        refuses("logged", "log-transformed"),
    ],
    "gene_key": [
        accepts("symbol", same, adata=Made(renamed)),
        accepts(None, same),
        refuses("no", "name"),
        refuses("name", "20 of the 20 genes"),
    ],
    "outlier_alpha": [
        accepts(0, lambda done: (done.adata.obs[KEY] != "Unknown").all()),
        # cells of training are like themselves: most have a p-value of 1
        accepts(1, lambda done: (done.adata.obs[KEY] == "Unknown") == (done.adata.obs[f"{KEY}_outlier"] < 1)),
        accepts(np.float32(0.5), lambda done: (done.adata.obs[KEY] == "Unknown") == (done.adata.obs[f"{KEY}_outlier"] < 0.5)),
        refuses(-0.1, "at least 0"),
        refuses(1.1, "at most 1"),
        refuses(float("nan")),
    ],
    "copy": COMMON["copy"],
}  # fmt: skip


def explained_model() -> str:
    """Folder of a model of the small data."""
    folder = Path(tempfile.mkdtemp()) / "model"
    scx.tl.contrastive(small(), 3, max_epochs=1, model_dir=folder)
    return str(folder)


def ranked(done: Outcome, *groups: str) -> bool:
    """Whether genes are ranked for these groups, for all if none is named."""
    return done.adata.uns[KEY]["names"].dtype.names == (groups or ("0", "1", "2"))


def same_scores(done: Outcome) -> bool:
    return done.adata.uns[KEY]["scores"].tobytes() == done.reference.adata.uns[KEY]["scores"].tobytes()


ATTRIBUTIONS: dict[str, list[Case]] = {
    "adata": [
        accepts(Made(lambda: small()[:, ::-1].copy()), ranked, label="genes in another order"),
        accepts(Made(lambda: small()[[3]].copy()), lambda done: len(done.adata.uns[KEY]["groups"]) == 1, label="one cell"),
        refuses(Made(lambda: small()[:, 1:].copy()), "1 of the 20 genes", label="a gene less"),
        refuses(Made(lambda: small()[:0].copy()), label="no cell"),
    ],
    "model": [
        accepts(Made(lambda: Path(explained_model())), same_scores, label="path"),
        accepts(Made(lambda: scx.model.load(explained_model())), same_scores, label="model"),
        refuses("no such folder", "no such folder"),
        refuses(".", "manifest.json is missing"),
    ],
    "groups": [
        accepts(["1"], lambda done: ranked(done, "1")),
        accepts(None, ranked),
        refuses([], "at least one"),
        refuses(["0", "3"], "'0', '1', '2'"),
    ],
    "n_cells": [
        accepts(1, lambda done: list(done.adata.uns[KEY]["n_cells"]) == [1, 1, 1]),
        accepts(10**9, same_scores),
        accepts(np.int64(100), same_scores),
        refuses(0, "at least 1"),
    ],
    "n_steps": [
        accepts(1, ranked),
        accepts(1000, ranked),
        accepts(np.int64(64), same_scores),
        refuses(0, "between 1 and 1000"),
        refuses(1001, "between 1 and 1000"),
    ],
    "per_cell": [
        accepts(True, lambda done: done.adata.layers[KEY].shape == (N_OBS, N_VARS) and same_scores(done)),
        accepts(np.False_, lambda done: KEY not in done.adata.layers),
    ],
    "key_added": [
        accepts("mine", lambda done: "mine" in done.adata.uns and "mine_group" in done.adata.obs),
        refuses("kept", "kept"),
        refuses("", "empty"),
    ],
    "rng": [
        accepts(0, same_scores),
        accepts(Made(lambda: np.random.default_rng(0)), ranked, label="generator"),
        refuses(-1, "at least 0"),
    ],
    "copy": [
        accepts(True, lambda done: KEY in done.returned.uns and KEY not in done.arguments["adata"].uns),
        accepts(False, lambda done: done.returned is None and KEY in done.arguments["adata"].uns),
    ],
}  # fmt: skip

LONG = ("10**12", "10**30")  # would run that long


def _method(name: str) -> Target:
    def arguments() -> dict[str, Any]:
        fields = field_arguments(METHODS[name])
        return {
            "adata": small(),
            "n_clusters": 4 if fields else 3,
            "max_epochs": 1,
            "batch_size": 16,
            "key_added": KEY,
            **fields,
        }

    batches = BATCHES if METHODS[name].model_cls.knows_batches else {}
    rows = {**METHOD, **batches, **OWN.get(name, {})}
    untried = {"max_epochs": LONG, "n_runs": LONG}
    return Target(f"tl.{name}", getattr(scx.tl, name), arguments, rows, untried)


TARGETS = [
    *map(_method, METHODS),
    Target("tl.attributions", scx.tl.attributions, lambda: {"adata": small(), "model": explained_model(), "key_added": KEY}, ATTRIBUTIONS),
    Target("tl.cluster", scx.tl.cluster, lambda: {"adata": small(), "n_clusters": 3, "use_rep": "X_emb", "key_added": KEY}, CLUSTER),
    Target("tl.map_query", scx.tl.map_query, lambda: {"adata": small(), "model": reference(), "key_added": KEY}, QUERY),
    Target("tl.consensus", scx.tl.consensus, lambda: {"adata": small(), "keys": ["run0", "run1"], "key_added": KEY}, CONSENSUS),
    Target("tl.ensemble", scx.tl.ensemble, lambda: {"adata": small(), "n_clusters": 3, "members": {"pca": 2}, "key_added": KEY}, ENSEMBLE, {"n_jobs": LONG}),
]  # fmt: skip
