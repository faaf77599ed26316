"""How the functions of ``scx.metrics`` are called, and what their parameters do at the bounds of what they allow."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scx
from robustness.data import N_OBS, small
from robustness.table import Case, Made, Target, accepts, refuses

CLUSTERINGS = ["run0", "run1"]


def holed() -> ad.AnnData:
    """Return cells with an embedding and a column that cannot be used."""
    adata = small()
    adata.obsm["X_holes"] = np.where(np.arange(N_OBS)[:, None] == 3, np.nan, adata.obsm["X_emb"])
    adata.obsm["X_noise"] = np.random.default_rng(1).normal(size=(N_OBS, 2))
    adata.obs["empty"] = np.nan
    adata.obs["early"] = adata.obs["run0"].where(np.arange(N_OBS) < 15)
    adata.obs["late"] = adata.obs["run0"].where(np.arange(N_OBS) >= 15)
    adata.obs["lists"] = [[1]] * N_OBS
    return adata


def without_x() -> ad.AnnData:
    adata = holed()
    del adata.X
    return adata


def with_run0_twice() -> ad.AnnData:
    adata = holed()
    adata.obs = pd.concat([adata.obs, adata.obs[["run0"]]], axis=1)
    return adata


def made(**arguments: Any) -> Any:
    return lambda: {"adata": holed(), **arguments}


def data(**others: Any) -> list[Case]:
    return [refuses(Made(lambda: holed()[:0].copy()), "0 cells", label="no cell", **others)]


SUBSET: list[Case] = [
    accepts(np.arange(N_OBS) < 1, lambda done: done.returned["n_cells"] == 1),
    accepts(
        pd.Series(np.arange(N_OBS) < 10, index=[f"cell{i}" for i in range(N_OBS)])[::-1],
        lambda done: (done.returned["n_cells"] == 10) & (done.returned["n_clusters"] == 1),
        label="Series in another order",
    ),
    refuses(pd.Series(np.ones(N_OBS, bool)), "index"),
    accepts([True] * N_OBS, lambda done: done.returned.equals(done.reference.returned)),
    refuses(np.zeros(N_OBS, bool), "keeps no cell"),
    refuses(np.ones(N_OBS - 1, bool), "one True or False per cell"),
    refuses(np.arange(N_OBS), "one True or False per cell"),
]

TARGETS: list[Target] = [
    Target(
        "metrics.count_evidence",
        scx.metrics.count_evidence,
        made(keys=CLUSTERINGS),
        {
            "adata": [
                *data(),
                accepts(
                    Made(lambda: holed()[:10].copy()),
                    lambda done: (
                        list(done.returned.index) == CLUSTERINGS and done.returned["log_likelihood"].notna().all()
                    ),
                    label="10 cells",
                ),
                refuses(Made(lambda: holed()[:9].copy()), "9 cells", label="9 cells"),
                refuses(Made(without_x), "empty", label="without X"),
            ],
            "keys": [
                accepts("labels", lambda done: done.returned["score"].isna().all()),
                accepts(["labels", "run1", "labels"], lambda done: list(done.returned.index) == ["labels", "run1"]),
                refuses([], "empty"),
                refuses(["run0", "nothing"], "run1"),
                refuses("empty", "no cluster"),
                refuses("early", "no cluster"),
                refuses("lists", "strings"),
                refuses("run0", "columns with this name", adata=Made(with_run0_twice), label="a name twice"),
            ],
            "layer": [
                accepts("counts", lambda done: done.returned.equals(done.reference.returned)),
                refuses("no", "counts"),
                refuses("logged", "log-transformed"),
            ],
            "n_top_genes": [
                accepts(5, lambda done: done.returned["log_likelihood"].notna()),
                accepts(10**9, lambda done: done.returned.equals(done.reference.returned)),
                refuses(4, "at least 5"),
            ],
            "rng": [
                accepts(np.int64(0), lambda done: done.returned.equals(done.reference.returned)),
                refuses(-1, "at least 0"),
            ],
        },
    ),
    Target(
        "metrics.clustering_report",
        scx.metrics.clustering_report,
        made(labels_key="labels", cluster_keys="run0"),
        {
            "adata": [
                accepts(Made(lambda: holed()[:1].copy()), lambda done: done.returned["acc"] == 1, label="one cell"),
                *data(),
            ],
            "labels_key": [
                accepts("run1", lambda done: done.returned["ari"] < 1),
                accepts(None, lambda done: "ari" not in done.returned),
                refuses("nothing", "'labels'"),
                refuses("empty", "No cell"),
                refuses("lists", "strings"),
            ],
            "cluster_keys": [
                accepts(CLUSTERINGS, lambda done: list(done.returned.index) == CLUSTERINGS),
                refuses(["run0", "nothing"], "'run1'"),
                refuses([], "empty"),
                refuses("empty", "No cell"),
            ],
            "use_rep": [
                accepts("X_emb", lambda done: done.returned["silhouette"] > 0.5),
                refuses("X_nothing", "'X_emb'"),
                refuses("X_holes", "NaN or infinite"),
            ],
            "subset": SUBSET,
            "rng": [
                accepts(2**64, lambda done: done.returned.equals(done.reference.returned)),
                accepts(
                    Made(lambda: np.random.default_rng(1)),
                    lambda done: done.returned.equals(done.reference.returned),
                    label="generator",
                ),
                refuses(-1, "at least 0"),
            ],
        },
    ),
    Target(
        "metrics.knn_preservation",
        scx.metrics.knn_preservation,
        made(use_rep="X_emb", k=5),
        {
            "adata": [
                accepts(Made(lambda: holed()[:2].copy()), lambda done: done.returned == 1, k=1, label="two cells"),
                refuses(Made(lambda: holed()[:1].copy()), "at least 2", k=1, label="one cell"),
                *data(k=1),
            ],
            "use_rep": [
                accepts("X_noise", lambda done: done.returned < done.reference.returned),
                refuses("X_nothing", "'X_emb'"),
                refuses("X_holes", "NaN or infinite"),
            ],
            "reference": [
                accepts("X_emb", lambda done: done.returned == 1),
                refuses("X_nothing", "'X_emb'"),
                refuses("X_holes", "NaN or infinite"),
                refuses(None, "`reference`", adata=Made(without_x), label="no X"),
            ],
            "k": [
                accepts(N_OBS - 1, lambda done: done.returned == 1),
                accepts(1, lambda done: 0 <= done.returned <= 1),
                accepts([1, np.int64(5)], lambda done: done.returned.shape == (2,)),
                *(refuses(k, "between 1 and 29") for k in (0, -1, N_OBS, [1, N_OBS])),
                refuses([], "empty"),
            ],
            "max_cells": [
                accepts(1, lambda done: np.isin(done.returned * 5, range(6))),
                accepts(N_OBS + 1, lambda done: done.returned == done.reference.returned),
                refuses(0, "at least 1"),
            ],
            "rng": [
                accepts(2**64, lambda done: done.returned == done.reference.returned),
                accepts(
                    Made(lambda: np.random.default_rng(1)),
                    lambda done: done.returned == done.reference.returned,
                    label="generator",
                ),
                refuses(-1, "at least 0"),
            ],
        },
    ),
    Target(
        "metrics.stability",
        scx.metrics.stability,
        made(keys=CLUSTERINGS),
        {
            "adata": [
                accepts(Made(lambda: holed()[:1].copy()), lambda done: done.returned.to_numpy() == 1, label="one cell"),
                *data(),
            ],
            "keys": [
                accepts(["run0", "labels"], lambda done: done.returned.to_numpy() == 1),
                accepts(pd.Index(CLUSTERINGS), lambda done: done.returned.equals(done.reference.returned)),
                refuses(["run0"], "at least two"),
                refuses(["run0", "run0"], "at least two"),
                refuses(["run0", "nothing"], "'run1'"),
                refuses(["early", "late"], "no cell"),
            ],
        },
    ),
]
