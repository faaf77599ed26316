"""How the functions of ``scx.pl`` are called, and what their parameters do at the bounds of what they allow."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import mock

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

import scx
from robustness.data import N_OBS, small
from robustness.table import Case, Made, Outcome, Target, accepts, refuses
from scx.pl import _clustering_over_training
from scx.pl._kit import layout

mpl.use("Agg")
KEY = "key"
MAX_SEED = 2**32 - 1


def drawable() -> ad.AnnData:
    """Return cells with everything that a plot reads, under two keys."""
    adata = small()
    rng = np.random.default_rng(0)
    curves = {
        "tried": np.arange(2, 6),
        **{name: np.linspace(0.4, 0.9, 4) for name in ("stability", "separation", "score")},
    }
    for key, clusters in ((KEY, "run0"), ("second", "run1")):
        adata.obs[key] = adata.obs[clusters]
        adata.obs[f"{key}_confidence"] = rng.uniform(0.2, 1, N_OBS)
        adata.obs[f"{key}_prediction"] = adata.obs["labels"].astype(str)
        adata.obsm[f"X_{key}"] = rng.normal(size=(N_OBS, 2)).astype(np.float32)
        adata.obsm[f"X_{key}_snapshots"] = rng.normal(size=(N_OBS, 2, 2)).astype(np.float32)
        adata.obsm[f"{key}_snapshots"] = np.stack([np.roll(adata.obs[clusters].cat.codes, i) for i in (3, 0)], axis=1)
        adata.uns[key] = {
            "scx_version": "0",
            "params": {"stopped_early": False},
            "history": {"loss": np.linspace(3, 1, 5), "mmd": np.linspace(1, 0.5, 5)},
            "n_clusters": {"chosen": 5, "reason": "best", **curves},
            "snapshots": np.array([0, 5]),
            "calibration": {
                "confidence": np.array([0.3, 0.7]),
                "accuracy": np.array([0.4, 0.6]),
                "n_cells": np.array([10, 20]),
                "ece": 0.1,
            },
        }
    adata.obsm["X_flat"] = np.arange(2 * N_OBS, dtype=np.float32).reshape(-1, 2)
    adata.obsm["X_line"] = np.ones((N_OBS, 1))
    adata.obsm["X_deep"] = np.concatenate([adata.obsm["X_emb"]] * 2, axis=1)
    adata.obsm["X_holes"] = np.where(np.arange(N_OBS)[:, None] == 3, np.nan, adata.obsm["X_emb"])
    adata.obs["deep"] = adata.obs[KEY]
    adata.obs["deep_confidence"] = adata.obs[f"{KEY}_confidence"]
    return adata


def table() -> pd.DataFrame:
    """Return scores of two methods on two datasets with two seeds."""
    rows = [
        (method, data, 0.5 + 0.1 * (method == "a") + 0.01 * seed) for method in "ab" for data in "xy" for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["method", "dataset", "ARI"]).assign(seconds=lambda frame: 10 * frame["ARI"])


def quickly[F: Callable](function: F) -> F:
    """Have a plot take two dimensions, moved by the seed, in place of a UMAP, which is slow to compile."""

    def two_dimensions(embedding: Any, *, start: Any = None, rng: int = 0) -> np.ndarray:
        return np.asarray(embedding[:, :2] + rng, dtype=np.float32)

    @wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        with (
            mock.patch.object(layout, "compute_umap", two_dimensions),
            mock.patch.object(_clustering_over_training, "compute_umap", two_dimensions),
        ):
            return function(*args, **kwargs)

    return drawn  # type: ignore[return-value]


# ----- what is seen


def axes(done: Outcome) -> list[Axes]:
    return list(np.atleast_1d(done.returned))


def points(done: Outcome, panel: int = 0) -> np.ndarray:
    """Return where the cells of a panel are."""
    return np.asarray(axes(done)[panel].collections[0].get_offsets())


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def at(rep: str, shift: float = 0) -> Callable[[Outcome], Any]:
    """Cells are where an embedding has them; small cells of the data are drawn in its order."""
    return lambda done: np.allclose(
        np.sort(points(done), axis=0), np.sort(done.arguments["adata"].obsm[rep][:, :2] + shift, axis=0), atol=1e-5
    )


def title(text: str, panel: int = 0) -> Callable[[Outcome], Any]:
    return lambda done: text in axes(done)[panel].get_title()


# ----- what all plots have


def without_figure() -> Axes:
    ax = Figure().subplots()
    ax.remove()
    return ax


def closed() -> Axes:
    figure, ax = plt.subplots()
    plt.close(figure)
    return ax


def polar() -> Axes:
    return Figure().subplots(subplot_kw={"projection": "polar"})


ENDING: dict[str, list[Case]] = {
    "ax": [
        accepts(
            Made(lambda: Figure(figsize=(8, 8)).subplots()),
            lambda done: {ax.get_figure() for ax in axes(done)} == {done.arguments["ax"].get_figure()},
            label="own axes",
        ),
        refuses(Made(closed), "closed", label="closed"),
        refuses(Made(without_figure), "removed", label="removed"),
        refuses(Made(polar), "polar", label="polar"),
        refuses(Made(Figure), label="a figure"),
    ],
    "show": [
        accepts(False, lambda done: all(isinstance(ax, Axes) for ax in axes(done))),
        accepts(True, lambda done: done.returned is None),
        accepts(np.False_, lambda done: done.returned is not None),
        refuses("yes"),
    ],
    "return_fig": [
        accepts(True, lambda done: isinstance(done.returned, Figure)),
        accepts(False, lambda done: not isinstance(done.returned, Figure)),
        refuses(1),
    ],
}
DATA: list[Case] = [
    accepts(Made(lambda: drawable()[np.arange(N_OBS) % 2 == 0]), lambda done: done.returned is not None, label="view"),
    refuses(Made(lambda: drawable()[:0].copy()), "0 cells", label="no cell"),
]
SEED: list[Case] = [
    accepts(MAX_SEED, at("X_key"), label="largest"),
    accepts(np.int64(3), at("X_deep", shift=3), key="deep", label="3, numpy"),
    refuses(MAX_SEED + 1, "between 0 and"),
    refuses(-1, "between 0 and"),
]
OPTIONS: list[Case] = [
    accepts({"size": 5.0}, lambda done: axes(done)[-1].collections[0].get_sizes()[0] == 5),
    *(refuses({"size": size}, "positive") for size in (0, -1, np.nan, np.inf, [1.0, 2.0])),
    refuses({"size": "large"}, "a number"),
    refuses({"cmap": "no map"}, "colormaps"),
    refuses({"color_map": 3}),
    refuses({"layer": "nothing"}),
    refuses({"use_raw": True}, "adata.raw"),
    refuses({"alpha": "high"}, "scanpy.pl.embedding cannot draw"),
    *(refuses({name: 3}, "Unknown argument") for name in ("edges", "projection", "height", "save")),
]


def keys(seen: Callable[[Outcome], Any]) -> list[Case]:
    return [
        accepts("second", seen),
        refuses("nothing", "scx.tl."),
        refuses("", "scx.tl."),
        refuses("labels", "scx.tl."),
    ]


def labels(seen: Callable[[Outcome], Any], **others: Any) -> list[Case]:
    return [
        accepts("run1", seen, **others),
        refuses("nothing", "labels", **others),
        refuses("empty", "No cell", adata=Made(with_empty), **others),
    ]


def with_empty() -> ad.AnnData:
    adata = drawable()
    adata.obs["empty"] = np.nan
    return adata


def with_odd_labels() -> ad.AnnData:
    adata = drawable()
    adata.obs["mixed"] = np.array([1, "b"] * (N_OBS // 2), dtype=object)
    adata.obs["dates"] = pd.date_range("2020", periods=2).repeat(N_OBS // 2)
    adata.obs["tuples"] = [(1, 2)] * N_OBS
    return adata


def with_snapshots(epochs: list[int], shape: tuple[int, ...]) -> ad.AnnData:
    """Return cells with an array of snapshots of a `shape`, for `epochs`."""
    adata = drawable()
    adata.uns[KEY]["snapshots"] = np.array(epochs)
    adata.obsm[f"X_{KEY}_snapshots"] = np.zeros(shape, dtype=np.float32)
    return adata


def without_some_clusters() -> ad.AnnData:
    adata = drawable()
    adata.obs.loc[adata.obs_names[:10], KEY] = np.nan
    return adata


def colors(panel: int) -> Callable[[Outcome], Any]:
    """Cells have two colours."""
    return lambda done: len(np.unique(axes(done)[panel].collections[0].get_facecolors(), axis=0)) == 2


ODD_COLOR: list[Case] = [
    accepts("mixed", colors(0), adata=Made(with_odd_labels)),
    accepts("dates", colors(0), adata=Made(with_odd_labels)),
    refuses("tuples", "cannot be categories", adata=Made(with_odd_labels)),
]


def target(name: str, rows: dict[str, list[Case]], **arguments: Any) -> Target:
    function = getattr(scx.pl, name)
    data: dict[str, Any] = {"results": Made(table)} if name == "benchmark" else {"adata": None}

    def fresh() -> dict[str, Any]:
        made = {"results": table()} if name == "benchmark" else {"adata": drawable()}
        return {**made, **arguments, "show": False}

    first = {} if "results" in data else {"adata": DATA}
    return Target(f"pl.{name}", quickly(function), fresh, {**first, **ENDING, **rows})


LAYOUT: list[Case] = [
    accepts("X_flat", lambda done: "FLAT 1" in [ax.get_xlabel() for ax in axes(done)]),
    accepts("flat", lambda done: "FLAT 1" in [ax.get_xlabel() for ax in axes(done)]),
    accepts("X_new", lambda done: done.arguments["adata"].obsm["X_new"].shape == (N_OBS, 2)),
    refuses("X_line", "one dimension"),
    refuses("X_holes", "NaN or infinite"),
    refuses("a/b", "no name"),
]

TARGETS: list[Target] = [
    target(
        "embedding",
        {
            "key": keys(at("X_second")),
            "color": [
                accepts("gene0", title("gene0")),
                accepts(["labels", "gene0"], title("gene0", 1)),
                refuses(["labels", "nothing"], "nothing"),
                refuses([], "empty"),
                *ODD_COLOR,
            ],
            "basis": LAYOUT,
            "ncols": [
                accepts(
                    1, lambda done: np.ptp([ax.get_position().x0 for ax in axes(done)]) < 0.05, color=["labels", "run0"]
                ),
                accepts(
                    np.int64(2),
                    lambda done: len({ax.get_position().x0 for ax in axes(done)}) == 2,
                    color=["run1", "run0"],
                ),
                refuses(0, "at least 1"),
            ],
            "title": [
                accepts("mine", title("mine")),
                accepts(["", "b"], title("b", 1), color=["run1", "run0"]),
                refuses(["a", "b"], "one per panel"),
            ],
            "legend_loc": [
                accepts("none", lambda done: not axes(done)[0].texts and axes(done)[0].get_legend() is None),
                refuses("somewhere", "right margin"),
            ],
            "rng": SEED,
            "kwargs": [*OPTIONS, refuses({"palette": "no palette"})],
        },
        key=KEY,
    ),
    target(
        "history",
        {
            "key": keys(title("second")),
            "losses": [
                accepts(["mmd"], lambda done: axes(done)[0].get_ylabel() == "mmd"),
                refuses(["loss", "nothing"], "'mmd'"),
                refuses([], "empty"),
            ],
            "log": [accepts(True, lambda done: axes(done)[0].get_yscale() == "log"), refuses("log")],
        },
        key=KEY,
    ),
    target("n_clusters", {"key": keys(title("second"))}, key=KEY),
    target(
        "count_evidence",
        {
            "keys": [
                accepts(
                    ["run0", "run1"],
                    lambda done: [text.get_text() for text in axes(done)[0].get_yticklabels()] == ["run0", "run1"],
                ),
                accepts(("labels", "run1"), lambda done: len(points(done)) == 2),
                refuses("nothing", "scx.tl.ensemble"),
                refuses("run0", "['run0']"),
                refuses([], "empty"),
                refuses(["run0", "nothing"], "run1"),
            ],
            "layer": [accepts("counts", lambda done: len(points(done)) == 2), refuses("no", "counts")],
            "n_top_genes": [accepts(5, lambda done: len(points(done)) == 2), refuses(4, "at least 5")],
        },
        keys=["run0", "run1"],
    ),
    target(
        "confidence",
        {
            "key": keys(title("second")),
            "basis": LAYOUT,
            "on_embedding": [accepts(False, lambda done: isinstance(done.returned, Axes)), refuses("no")],
            "rng": [case for case in SEED if case.accepted is False]
            + [accepts(MAX_SEED, lambda done: len(axes(done)) == 2), accepts(0, lambda done: len(axes(done)) == 2)],
            "kwargs": [
                *OPTIONS,
                refuses({"title": "x"}, "Unknown argument"),
                refuses({"size": np.ones(N_OBS)}, "positive"),
            ],
        },
        key=KEY,
    ),
    target(
        "composition",
        {
            "key": keys(lambda done: "second" in axes(done)[0].get_ylabel())[:3],
            "batch_key": labels(lambda done: len(axes(done)[0].patches) == 4 * 3),
        },
        key=KEY,
        batch_key="batch",
    ),
    target(
        "confusion",
        {
            "labels_key": labels(lambda done: axes(done)[0].get_ylabel() == "run1 (cells)"),
            "key": keys(lambda done: "second" in axes(done)[0].get_xlabel())[:3],
            "counts": [
                accepts(False, lambda done: not axes(done)[0].texts),
                accepts(True, lambda done: sum(map(int, texts(axes(done)[0]))) == N_OBS),
                refuses("many"),
            ],
            "cmap": [
                accepts("Greys", lambda done: axes(done)[0].collections[0].get_cmap().name == "Greys"),
                accepts(mpl.colormaps["Greys"], lambda done: axes(done)[0].collections[0].get_cmap().name == "Greys"),
                refuses("no map", "colormaps"),
            ],
        },
        labels_key="labels",
        key=KEY,
    ),
    target(
        "flow",
        {
            "labels_key": labels(lambda done: "run1" in texts(axes(done)[0])),
            "key": keys(lambda done: "second" in texts(axes(done)[0]))[:3],
            "min_cells": [
                accepts(0, lambda done: sum(isinstance(patch, PathPatch) for patch in axes(done)[0].patches) == 3),
                accepts(N_OBS, lambda done: not any(isinstance(patch, PathPatch) for patch in axes(done)[0].patches)),
                refuses(-1, "at least 0"),
            ],
        },
        labels_key="labels",
        key=KEY,
    ),
    target(
        "reliability",
        {
            "key": keys(title("second")),
            "labels_key": labels(title("30 cells")),
            "subset": [
                accepts(np.arange(N_OBS) < 1, title("1 cells"), labels_key="labels"),
                accepts([True] * N_OBS, title("30 cells"), labels_key="labels"),
                accepts(
                    pd.Series([True, True], index=["cell7", "cell3"]).reindex(
                        [f"cell{i}" for i in range(N_OBS)][::-1], fill_value=False
                    ),
                    title("2 cells"),
                    labels_key="labels",
                    label="Series in another order",
                ),
                refuses(pd.Series(np.ones(N_OBS, bool)), "index", labels_key="labels"),
                refuses(np.zeros(N_OBS, bool), "keeps no cell", labels_key="labels"),
                refuses(np.ones(3, bool), "one True or False per cell"),
                refuses(np.arange(N_OBS), "one True or False per cell", labels_key="labels"),
            ],
            "n_bins": [
                accepts(1, lambda done: len(axes(done)[0].lines[1].get_xdata()) == 1, labels_key="labels"),
                accepts(1000, title("30 cells"), labels_key="labels"),
                refuses(0, "between 1 and"),
                refuses(1001, "between 1 and"),
            ],
        },
        key=KEY,
    ),
    target(
        "knn_preservation",
        {
            "use_reps": [
                accepts("X_flat", lambda done: axes(done)[0].lines[0].get_label() == "X_flat"),
                accepts({"a": ["X_flat", "X_emb"]}, lambda done: axes(done)[0].lines[0].get_label() == "a (2 runs)"),
                refuses(["X_emb", "X_nothing"], "X_nothing"),
                refuses(["X_holes"], "NaN or infinite"),
                refuses({"a": []}, "no embedding"),
            ],
            "reference": [
                accepts("X_emb", lambda done: np.all(axes(done)[0].lines[0].get_ydata() == 1)),
                refuses("X_nothing", "X_emb"),
                refuses("X_holes", "NaN or infinite"),
            ],
            "k": [
                accepts([N_OBS - 1], lambda done: axes(done)[0].lines[0].get_ydata() == 1),
                accepts(np.array([1, 2]), lambda done: np.array_equal(axes(done)[0].lines[0].get_xdata(), [1, 2])),
                *(refuses(k, "between 1 and 29") for k in ([0], [N_OBS], [-1])),
            ],
            "max_cells": [
                accepts(1, lambda done: np.isin(axes(done)[0].lines[0].get_ydata() * 5, range(6)), k=[5]),
                refuses(0, "at least 1"),
            ],
            "rng": [
                accepts(
                    Made(lambda: np.random.default_rng(0)),
                    lambda done: len(axes(done)[0].lines) == 2,
                    label="generator",
                ),
                refuses(-1, "at least 0"),
            ],
        },
        use_reps=["X_emb"],
    ),
    target(
        "layouts",
        {
            "use_reps": [
                accepts("X_key", at("X_key")),
                accepts({"a": ["X_key"], "b": ["X_flat", "X_second"]}, lambda done: len(axes(done)) == 3),
                refuses(["X_key", "X_nothing"], "X_nothing"),
                refuses({"a": []}, "no embedding"),
            ],
            "color": [
                accepts("gene0", lambda done: points(done).shape == (N_OBS, 2)),
                refuses("nothing", "neither a gene"),
                *ODD_COLOR,
            ],
            "rng": [
                accepts(MAX_SEED, at("X_flat"), label="largest"),
                accepts(np.int64(3), at("X_deep", shift=3), use_reps=["X_deep"]),
                refuses(MAX_SEED + 1, "between 0 and"),
                refuses(-1, "between 0 and"),
            ],
            "kwargs": [*OPTIONS, refuses({"legend_loc": "somewhere"}, "right margin")],
        },
        use_reps=["X_flat", "X_second"],
        color="labels",
    ),
    target(
        "clustering_over_training",
        {
            "key": [
                *keys(lambda done: "second" in axes(done)[0].get_ylabel()),
                accepts(
                    KEY, lambda done: len(points(done)) == N_OBS, adata=Made(without_some_clusters), label="no clusters"
                ),
                refuses(
                    KEY, "one-dimensional", adata=Made(lambda: with_snapshots([], (N_OBS, 0, 2))), label="no epoch"
                ),
                refuses(
                    KEY, "3 epochs", adata=Made(lambda: with_snapshots([0, 1, 2], (N_OBS, 3, 2))), label="clusters"
                ),
                refuses(KEY, "2 epochs", adata=Made(lambda: with_snapshots([0, 5], (N_OBS, 2))), label="dimensions"),
            ],
            "labels_key": labels(lambda done: len(axes(done)) == 5),
            "epochs": [
                accepts([5], lambda done: isinstance(done.returned, Axes)),
                accepts([np.int64(0)], title("before training")),
                refuses([0, 7], "0, 5"),
                refuses([], "empty"),
            ],
            "max_cells": [
                accepts(5, lambda done: len(points(done)) == 5),
                accepts(N_OBS + 1, lambda done: len(points(done)) == N_OBS),
                refuses(4, "at least 5"),
                refuses(0, "at least 5"),
            ],
            "rng": [
                accepts(3, lambda done: np.allclose(points(done), points(done.reference) + 3, atol=1e-5)),
                accepts(MAX_SEED, lambda done: len(points(done)) == N_OBS),
                refuses(MAX_SEED + 1, "between 0 and"),
                refuses(-1, "between 0 and"),
            ],
            "kwargs": [*OPTIONS, refuses({"legend_loc": "none"}, "Unknown argument")],
        },
        key=KEY,
    ),
    target(
        "benchmark",
        {
            "results": [
                accepts(Made(lambda: table().iloc[:1]), title("ARI"), label="one row"),
                refuses(Made(lambda: table().iloc[:0]), "empty", label="no row"),
            ],
            "score": [
                accepts("seconds", title("seconds")),
                accepts("ARI", title("ARI"), results=Made(lambda: table().astype({"ARI": "Float64"}))),
                refuses("nothing", "'ARI'"),
                refuses("method", "different columns"),
                refuses("label", "finite numbers", results=Made(lambda: table().assign(label="x"))),
                refuses("ARI", "finite numbers", results=Made(lambda: table().assign(ARI=np.inf))),
            ],
            "method_key": [
                accepts("name", title("ARI"), results=Made(lambda: table().rename(columns={"method": "name"}))),
                refuses("nothing", "'method'"),
                refuses("dataset", "different columns"),
                refuses("method", "cannot be categories", results=Made(lambda: table().assign(method=[[1]] * 8))),
                refuses("method", "No row", results=Made(lambda: table().assign(method=np.nan))),
            ],
            "dataset_key": [
                accepts("name", title("ARI"), results=Made(lambda: table().rename(columns={"dataset": "name"}))),
                refuses("nothing", "'dataset'"),
                refuses("dataset", "cannot be categories", results=Made(lambda: table().assign(dataset=[(1, 2)] * 8))),
            ],
            "higher_is_better": [
                accepts(False, lambda done: axes(done)[0].get_yticklabels()[0].get_text() == "b"),
                accepts(True, lambda done: axes(done)[0].get_yticklabels()[0].get_text() == "a"),
                refuses("yes"),
            ],
            "methods": [
                accepts(["b", "a"], lambda done: axes(done)[0].get_yticklabels()[0].get_text() == "b"),
                accepts(["b"], title("ARI")),
                refuses(["a", "nothing"], "'b'"),
                refuses(["a", "a"], "each method once"),
                refuses([], "empty"),
            ],
            "cmap": [
                accepts("Greys", lambda done: axes(done)[0].collections[0].get_cmap().name == "Greys"),
                refuses("no map", "colormaps"),
            ],
        },
    ),
]
