"""Plots: what they look like, what they return, what they leave alone, and what they say when something is missing."""

import inspect
import os
import re
from itertools import pairwise
from pathlib import Path

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from PIL import Image

import scx
from robustness.identical import assert_identical, frozen
from scx.pl import _clustering_over_training
from scx.pl._kit import figure as _figure
from scx.pl._kit import scatter as _scatter

IMAGES = Path(__file__).parent / "images"
TOLERANCE = 4
"""Root mean square of the difference, of 255. A missing legend or another palette is above 10."""
N_OBS = 240


@pytest.fixture(autouse=True)
def _style():
    """Matplotlib as it comes, without a window, and nothing left open."""
    plt.switch_backend("Agg")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"savefig.dpi": 60, "figure.dpi": 60})
        autoshow, sc.settings.autoshow = sc.settings.autoshow, False
        yield
        sc.settings.autoshow = autoshow
    plt.close("all")


def fabricated(n_clusters: int = 6, n_labels: int = 5, key: str = "mine") -> ad.AnnData:
    """Cells with everything that a method may write, made with numpy alone."""
    rng = np.random.default_rng(0)
    group = np.sort(np.arange(N_OBS) % n_clusters)
    angle = 2 * np.pi * group / n_clusters
    layout = 6 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.7, (N_OBS, 2))
    pure = 0.85 if n_clusters < 20 else 0.98
    labels = np.where(rng.random(N_OBS) < pure, group % n_labels, rng.integers(0, n_labels, N_OBS))
    names = [f"{kind} cell {i}" for i, kind in zip(range(n_labels), ["B", "T", "NK", "dendritic"] * 10, strict=False)]
    obs = pd.DataFrame(index=np.arange(N_OBS).astype(str))
    obs[key] = pd.Categorical.from_codes(group, [str(i) for i in range(n_clusters)])
    obs["type"] = pd.Categorical.from_codes(labels, names)
    obs[f"{key}_confidence"] = np.clip(rng.beta(6, 2, N_OBS) - 0.1 * (group % 3), 0, 1).astype(np.float32)
    obs[f"{key}_prediction"] = obs["type"].where(rng.random(N_OBS) < obs[f"{key}_confidence"], names[0])
    counts = rng.poisson(2.0, (N_OBS, 3)).astype(np.float32)
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=["gene0", "gene1", "gene2"]))
    adata.obsm[f"X_{key}"] = layout.astype(np.float32)
    adata.obsm["X_wide"] = np.hstack([layout, rng.normal(0, 1, (N_OBS, 4))]).astype(np.float32)
    adata.obsm["X_noise"] = rng.normal(0, 1, (N_OBS, 2)).astype(np.float32)
    scales = np.array([4.0, 2.0, 0.5])
    moments = layout[:, None] + scales[None, :, None] * rng.normal(0, 1, (N_OBS, 3, 2))
    adata.obsm[f"X_{key}_snapshots"] = moments.astype(np.float32)
    shuffled = [np.where(rng.random(N_OBS) < p, rng.integers(0, n_clusters, N_OBS), group) for p in (0.8, 0.3, 0.0)]
    adata.obsm[f"{key}_snapshots"] = (n_clusters - 1 - np.column_stack(shuffled)).astype(np.int32)
    epochs = np.arange(1, 41)
    tried = np.arange(2, 13)
    stability, separation = np.linspace(0.98, 0.6, 11), 0.6 - 0.02 * (tried - n_clusters) ** 2 / 4
    adata.uns[key] = {
        "scx_version": "0",
        "params": {"stopped_early": True},
        "history": {
            "loss": 3 + 4 * np.exp(-epochs / 8),
            "clustering_loss": np.where(epochs > 25, 0.5 + 1 / epochs, np.nan),
            "mmd": np.exp(-epochs / 10),
        },
        "phases": {"autoencoder": 1, "clustering": 26},
        "n_clusters": {
            "chosen": n_clusters,
            "reason": "for a reason",
            "tried": tried,
            "stability": stability,
            "separation": separation,
            "score": stability * separation,
        },
        "snapshots": np.array([0, 5, 40]),
        "calibration": {
            "confidence": np.array([0.35, 0.55, 0.75, 0.95]),
            "accuracy": np.array([0.3, 0.4, 0.72, 0.9]),
            "n_cells": np.array([20, 40, 60, 120]),
            "ece": 0.0525,
        },
    }
    return adata


def results() -> pd.DataFrame:
    """Scores as a benchmark writes them, one method without one of the datasets."""
    rows = [
        {
            "method": method,
            "dataset": data,
            "seed": seed,
            "ARI": (base + 0.05 * seed + 0.07 * i) % 1,
            "seconds": 10 * base,
        }
        for method, base in [("three", 0.3), ("one", 0.6), ("two", 0.5)]
        for i, data in enumerate(["blood", "brain", "gut"])
        for seed in range(3)
        if (method, data) != ("two", "gut")
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def adata() -> ad.AnnData:
    return fabricated()


@pytest.fixture
def no_umap(monkeypatch):
    """The first two dimensions in place of UMAP, whose result depends on the machine; the calls are counted."""
    calls = []

    def first_two(embedding, *, start=None, rng=0):
        calls.append(start)
        return np.asarray(embedding[:, :2], dtype=np.float32)

    monkeypatch.setattr(_scatter, "umap", first_two)
    monkeypatch.setattr(_clustering_over_training, "umap", first_two)
    return calls


PLOTS = {
    "embedding": lambda a, **kw: scx.pl.embedding(a, "mine", color=["mine", "type", "gene0"], **kw),
    "history": lambda a, **kw: scx.pl.history(a, "mine", **kw),
    "n_clusters": lambda a, **kw: scx.pl.n_clusters(a, "mine", **kw),
    "confidence": lambda a, **kw: scx.pl.confidence(a, "mine", **kw),
    "confusion": lambda a, **kw: scx.pl.confusion(a, "type", "mine", **kw),
    "flow": lambda a, **kw: scx.pl.flow(a, "type", "mine", **kw),
    "reliability": lambda a, **kw: scx.pl.reliability(a, "mine", **kw),
    "knn_preservation": lambda a, **kw: scx.pl.knn_preservation(
        a, {"mine": ["X_mine", "X_noise"], "wide": "X_wide"}, reference="X_wide", **kw
    ),
    "layouts": lambda a, **kw: scx.pl.layouts(a, {"a": ["X_mine", "X_noise"], "b": ["X_noise"]}, color="type", **kw),
    "clustering_over_training": lambda a, **kw: scx.pl.clustering_over_training(
        a, "mine", labels_key="type", max_cells=100, **kw
    ),
    "benchmark": lambda a, **kw: scx.pl.benchmark(results(), **kw),
}
N_PANELS = {"embedding": 3, "history": 3, "confidence": 2, "layouts": 3, "clustering_over_training": 7, "benchmark": 2}
MANY = {
    "embedding_many": lambda a, **kw: scx.pl.embedding(a, "mine", **kw),
    "confidence_many": lambda a, **kw: scx.pl.confidence(a, "mine", on_embedding=False, **kw),
    "confusion_many": lambda a, **kw: scx.pl.confusion(a, "type", "mine", **kw),
    "flow_many": lambda a, **kw: scx.pl.flow(a, "type", "mine", min_cells=2, **kw),
}
"""The same with 30 clusters and 24 labels."""


def assert_looks_like(fig: Figure, name: str, folder: Path) -> None:
    """Compare with the reference image; SCX_WRITE_IMAGES=1 writes it anew."""
    expected = IMAGES / f"{name}.png"
    if os.environ.get("SCX_WRITE_IMAGES"):
        fig.savefig(expected, pil_kwargs={"optimize": True})
        fewer = folder / "fewer.png"  # of 256 colours, a third of the size, unless they are too few
        Image.open(expected).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(fewer, optimize=True)
        if compare_images(str(expected), str(fewer), tol=1) is None:
            expected.write_bytes(fewer.read_bytes())
    actual = folder / f"{name}.png"
    fig.savefig(actual)
    difference = compare_images(str(expected), str(actual), tol=TOLERANCE)
    assert difference is None, difference


def test_every_plot_is_tested():
    assert set(PLOTS) == set(scx.pl.__all__)


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.usefixtures("no_umap")
def test_image(name, adata, tmp_path):
    assert_looks_like(PLOTS[name](adata, return_fig=True), name, tmp_path)


@pytest.mark.parametrize("name", MANY)
def test_image_of_many_clusters(name, tmp_path):
    assert_looks_like(MANY[name](fabricated(30, 24), return_fig=True), name, tmp_path)


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.usefixtures("no_umap")
def test_returns_what_scanpy_returns(name, adata, monkeypatch):
    axes = PLOTS[name](adata, show=False)
    if name in N_PANELS:
        assert isinstance(axes, list)
        assert len(axes) == N_PANELS[name]
        assert all(isinstance(ax, Axes) for ax in axes)
    else:
        assert isinstance(axes, Axes)
    assert isinstance(PLOTS[name](adata, return_fig=True), Figure)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    assert PLOTS[name](adata, show=True) is None
    assert shown == [True]


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.usefixtures("no_umap")
def test_draws_into_axes_that_are_given(name, adata):
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    axes = PLOTS[name](adata, ax=right, show=False)
    assert plt.get_fignums() == [fig.number]
    for ax in axes if isinstance(axes, list) else [axes]:
        assert ax.figure is fig
    fig.draw_without_rendering()
    assert left.get_position().x1 < min(ax.get_position().x0 for ax in fig.axes if ax is not left)
    assert not left.has_data()
    free = plt.figure(figsize=(6, 6)).add_axes((0.5, 0.1, 0.4, 0.8))  # belongs to no grid
    for ax in np.atleast_1d(PLOTS[name](adata, ax=free, show=False)):
        assert ax.get_position().x0 >= 0.45


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.usefixtures("no_umap")
def test_nothing_but_palettes_is_written(name, adata):
    before = adata.copy()
    PLOTS[name](adata, show=False)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert set(adata.obsm) == set(before.obsm)
    assert set(adata.uns) - set(before.uns) <= {"mine_colors", "type_colors"}
    np.testing.assert_array_equal(adata.X, before.X)


@pytest.mark.parametrize("name", ["embedding", "flow", "clustering_over_training"])
@pytest.mark.usefixtures("no_umap")
def test_palettes_are_those_of_scanpy(name, adata):
    reference = adata.copy()
    sc.pl.embedding(reference, "X_mine", color=["mine", "type"], show=False)
    PLOTS[name](adata, show=False)
    for key in ("mine_colors", "type_colors"):
        assert list(adata.uns[key]) == list(reference.uns[key])
    own = ["#111111", "#222222", "#333333", "#444444", "#555555", "#666666"]
    adata.uns["mine_colors"] = own
    PLOTS[name](adata, show=False)
    assert list(adata.uns["mine_colors"]) == own


@pytest.mark.parametrize("name", ["embedding", "flow"])
@pytest.mark.usefixtures("no_umap")
def test_types_of_one_name_have_one_colour(name, adata):
    """Also a new type beside them has a colour of its own, and cells without a label are grey."""
    types = adata.obs["type"].astype(str)
    first, second, *_ = sorted(types.unique())
    adata.obs["type"] = types.replace(first, "no idea")
    adata.obs["mine"] = types.replace(second, "new_1").astype("category")
    adata.uns["mine"]["params"] |= {"labels_key": "type", "unlabeled_category": "no idea"}
    if name == "embedding":
        scx.pl.embedding(adata, "mine", color=["type", "mine"], show=False)
    else:
        scx.pl.flow(adata, "type", "mine", show=False)
    known, found = (
        dict(zip(adata.obs[key].astype("category").cat.categories, adata.uns[f"{key}_colors"], strict=True))
        for key in ("type", "mine")
    )
    assert known.pop("no idea") == "#d3d3d3"
    assert {key: found[key] for key in known.keys() - {second}} == {key: known[key] for key in known.keys() - {second}}
    assert len(set(found.values())) == len(found)
    assert not {"#d3d3d3", known[second]} & {found["new_1"], found[first]}


@pytest.mark.usefixtures("no_umap")
def test_palette_that_is_there_gives_its_colours(adata):
    adata.obs["mine"] = adata.obs["type"]
    adata.uns["mine_colors"] = own = ["#111111", "#222222", "#333333", "#444444", "#555555"]
    scx.pl.embedding(adata, "mine", color=["type", "mine"], show=False)
    assert adata.uns["type_colors"] == own


@pytest.mark.usefixtures("no_umap")
def test_colours_of_numbered_strings_are_read_in_their_order(adata):
    """As drawn: scanpy sorts 2 before 10."""
    adata = fabricated(12)
    adata.obs["strings"] = adata.obs["mine"].astype(str)
    first, second = scx.pl.embedding(adata, "mine", color=["mine", "strings"], legend_loc="none", show=False)
    np.testing.assert_array_equal(first.collections[0].get_facecolors(), second.collections[0].get_facecolors())


@pytest.mark.usefixtures("no_umap")
def test_more_names_than_colours(adata):
    names = np.array([f"name {i}" for i in range(130)])
    adata.obs["many"] = pd.Categorical(names[np.arange(N_OBS) % 130])
    adata.obs["others"] = pd.Categorical(np.char.add(names, "'")[np.arange(N_OBS) % 130]).rename_categories(
        {"name 1'": "name 1"}
    )
    scx.pl.embedding(adata, "mine", color=["many", "others"], legend_loc="none", show=False)
    assert len(adata.uns["others_colors"]) == 130


def test_many_cells_are_rasterised(adata):
    for ax in scx.pl.embedding(adata, "mine", color=["mine", "gene0"], show=False):
        assert all(collection.get_rasterized() for collection in ax.collections)


@pytest.mark.parametrize("name", [*PLOTS, *MANY])
@pytest.mark.usefixtures("no_umap")
def test_nothing_is_cut_and_every_axis_has_a_name(name, adata):
    """All texts lie within the figure; the outermost panels say what they show."""
    many = name in MANY
    fig = (MANY if many else PLOTS)[name](fabricated(30, 24) if many else adata, return_fig=True)
    fig.draw_without_rendering()
    width, height = fig.bbox.size
    for ax in fig.axes:
        box = ax.get_tightbbox()
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
        assert all(text.get_fontsize() > 4.5 for text in ax.findobj(mpl.text.Text) if text.get_text())
    assert any(ax.get_title() for ax in fig.axes)


def test_one_column_is_enough():
    """With 30 clusters and 24 labels, in 3.5 inches: a panel that can be seen, and names that do not overlap."""
    adata = fabricated(30, 24)
    for name, height in {"confusion_many": 3.5, "flow_many": 4.5, "confidence_many": 2.2}.items():
        fig, ax = plt.subplots(figsize=(3.5, height), layout="constrained")
        MANY[name](adata, ax=ax, show=False)
        fig.draw_without_rendering()
        for axis in (ax.xaxis, ax.yaxis):
            shown = [each for each in axis.get_ticklabels() if each.get_visible() and each.get_text() and ax.axison]
            boxes = [each.get_window_extent().shrunk(0.9, 0.9) for each in shown]
            assert not any(a.overlaps(b) for a, b in pairwise(boxes)), name
            assert all(each.get_fontsize() >= 5 for each in shown)
        assert ax.bbox.width > 0.25 * fig.bbox.width
    figures = [
        scx.pl.embedding(adata, "mine", color="type", ncols=1, return_fig=True),
        scx.pl.embedding(adata, "mine", color="type", ax=plt.figure(figsize=(3.5, 5)).subplots(), return_fig=True),
    ]
    for fig in figures:
        assert fig.bbox.width == 3.5 * fig.dpi
        assert fig.axes[0].bbox.width > 0.4 * fig.bbox.width
        assert fig.axes[0].get_legend() is not None


def test_names_on_the_data_do_not_overlap():
    fig = scx.pl.embedding(fabricated(30), "mine", return_fig=True)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert len(boxes) == 30
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# ----- embedding


def test_layout_is_found_computed_or_stored(adata, no_umap, tmp_path):
    adata.obsm["X_mine"] = adata.obsm["X_wide"]
    sc.settings.verbosity, sc.settings.logfile = 3, tmp_path / "log"
    try:
        scx.pl.embedding(adata, "mine", show=False)
    finally:
        sc.settings.verbosity, sc.settings.logfile = 0, None
    assert len(no_umap) == 1
    said = (tmp_path / "log").read_text()
    assert "computing neighbors and UMAP of 'X_mine'" in said
    assert "basis='X_umap_mine'" in said
    assert "X_umap_mine" not in adata.obsm
    scx.pl.embedding(adata, "mine", basis="X_umap_mine", show=False)
    assert len(no_umap) == 2
    assert adata.obsm["X_umap_mine"].shape == (N_OBS, 2)
    ax = scx.pl.embedding(adata, "mine", show=False)  # found from now on
    scx.pl.confidence(adata, "mine", show=False)
    assert len(no_umap) == 2
    assert ax.get_xlabel() == "UMAP 1"


def test_umap_of_scanpy_is_taken_where_it_rests_on_the_embedding(adata, no_umap):
    adata.obsm["X_mine"] = adata.obsm["X_wide"]
    adata.obsm["X_umap"] = adata.obsm["X_noise"]
    adata.uns["neighbors"] = {"params": {"use_rep": "X_pca"}}
    scx.pl.embedding(adata, "mine", show=False)
    assert len(no_umap) == 1
    adata.uns["neighbors"] = {"params": {"use_rep": "X_mine"}}
    scx.pl.embedding(adata, "mine", show=False)
    assert len(no_umap) == 1


@pytest.mark.slow
def test_umap_is_that_of_scanpy_and_leaves_the_random_state(adata):
    reference = adata.copy()
    sc.pp.neighbors(reference, use_rep="X_wide", random_state=3)
    sc.tl.umap(reference, random_state=3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    layout = _scatter.umap(adata.obsm["X_wide"], rng=3)
    np.testing.assert_allclose(layout, reference.obsm["X_umap"], atol=1e-5)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


# ----- clusters and labels


def test_pairs_make_the_diagonal_heavy():
    rng = np.random.default_rng(0)
    labels = pd.Series(pd.Categorical(rng.choice(list("abcd"), 300)))
    clusters = labels.map({"a": "3", "b": "0", "c": "0", "d": "1"}).astype("category")
    clusters[:20] = "1"
    table = _figure.matched(labels, clusters)
    assert table.to_numpy().sum() == 300
    diagonal = np.diag(table.to_numpy())
    assert (np.diff(diagonal) <= 0).all()
    plain = pd.crosstab(labels, clusters)
    assert diagonal.sum() >= np.diag(plain.to_numpy()).sum()
    assert set(table.index) == set("abcd")
    more = _figure.matched(clusters, labels)
    assert list(more.columns[:3]) == list(table.index[:3])


@pytest.mark.parametrize("seed", range(5))
def test_names_are_moved_apart_and_no_more(seed):
    from scx.pl._flow import spread_out

    centers = np.sort(np.random.default_rng(seed).random(20))
    places = spread_out(centers, 0.04)
    assert (np.diff(places) >= 0.04 - 1e-9).all()
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-9
    np.testing.assert_allclose(spread_out(np.linspace(0, 1, 20), 0.04), np.linspace(0, 1, 20))


def test_clusters_keep_their_colours_over_training(adata):
    codes = adata.obsm["mine_snapshots"]
    named = _clustering_over_training._named_as_the_last(codes, adata.obs["mine"])
    assert named[-1].astype(str).tolist() == adata.obs["mine"].astype(str).tolist()
    merged = pd.Series(pd.Categorical(np.where(adata.obs["mine"] == "5", "4", adata.obs["mine"].astype(str))))
    assert list(_clustering_over_training._named_as_the_last(codes, merged)[-1].cat.categories)[-1] == "+1"


@pytest.mark.usefixtures("no_umap")
def test_clusters_over_training_that_the_final_ones_lack(adata):
    """A seventh cluster that only the first epoch has, of cells that have no cluster in the end, and a category of no cell."""
    embedding = scx.pl.embedding(adata, "mine", show=False).collections[0].get_facecolors()[-1]
    adata.obs["mine"] = adata.obs["mine"].cat.reorder_categories(["5", "0", "1", "2", "3", "4"])
    adata.obs.loc[adata.obs["mine"] == "0", "mine"] = np.nan
    adata.uns["mine_colors"] = np.roll(adata.uns["mine_colors"], 1)
    adata.obsm["mine_snapshots"][:10, 0] = 6
    axes = scx.pl.clustering_over_training(adata, "mine", labels_key="type", epochs=[0, 40], show=False)
    names = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert names == ["5", "1", "2", "3", "4", "+1", "+2"]
    np.testing.assert_allclose(axes[1].collections[0].get_facecolors()[-1], embedding)  # of cluster 5


@pytest.mark.parametrize(
    ("snapshots", "clusters", "embeddings", "says"),
    [
        ([], (N_OBS, 0), (N_OBS, 0, 2), r"uns\['mine'\]\['snapshots'\]"),
        (["a", "b"], (N_OBS, 2), (N_OBS, 2, 2), r"uns\['mine'\]\['snapshots'\]"),
        ([0, 5], (N_OBS, 3), (N_OBS, 2, 2), r"obsm\['mine_snapshots'\].*cells × 2 epochs, "),
        ([0, 5], (N_OBS, 2), (N_OBS, 3, 2), r"obsm\['X_mine_snapshots'\].*cells × 2 epochs × dimensions"),
        ([0, 5], (N_OBS, 2), (N_OBS, 2), r"obsm\['X_mine_snapshots'\].*cells × 2 epochs × dimensions"),
        ([0, 5], (N_OBS, 2), (N_OBS, 2, 0), r"obsm\['X_mine_snapshots'\].*cells × 2 epochs × dimensions"),
    ],
)
def test_snapshots_that_do_not_fit_the_record(adata, snapshots, clusters, embeddings, says):
    adata.uns["mine"]["snapshots"] = np.array(snapshots)
    adata.obsm["mine_snapshots"] = np.zeros(clusters, dtype=np.int32)
    adata.obsm["X_mine_snapshots"] = np.zeros(embeddings, dtype=np.float32)
    with pytest.raises(ValueError, match=f"{says}.*run the method behind `key` again"):
        scx.pl.clustering_over_training(adata, "mine")


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [("X_mine_snapshots", np.nan, "finite"), ("mine_snapshots", 0.5, "of float64"), ("mine_snapshots", None, "kept")],
)
def test_snapshots_that_are_none(adata, name, values, says):
    if values is None:
        del adata.obsm[name]
    else:
        adata.obsm[name] = np.full_like(adata.obsm[name], values, dtype=float)
    with pytest.raises(ValueError, match=rf"mine.*{says}"):
        scx.pl.clustering_over_training(adata, "mine")


def test_expected_calibration_error(adata):
    from scx.pl._reliability import _calibration

    bins = _calibration(adata, "mine", "type", None, 10)
    sure = adata.obs["mine_confidence"].to_numpy(dtype=float)
    right = (adata.obs["mine_prediction"].astype(str) == adata.obs["type"].astype(str)).to_numpy()
    expected = 0.0
    for b in range(10):
        here = (sure >= b / 10) & ((sure < (b + 1) / 10) | (b == 9))
        if here.any():
            expected += here.mean() * abs(right[here].mean() - sure[here].mean())
    assert bins["ece"] == pytest.approx(expected)
    assert bins["n_cells"].sum() == N_OBS
    subset = np.arange(N_OBS) < 100
    assert _calibration(adata, "mine", "type", subset, 10)["n_cells"].sum() == 100
    ax = scx.pl.reliability(adata, "mine", labels_key="type", show=False)
    assert f"{expected:.3f}" in ax.get_title()


def test_cells_without_labels_are_left_out(adata):
    adata.obs.loc[adata.obs_names[:50], "type"] = np.nan
    ax = scx.pl.confusion(adata, "type", "mine", counts=True, show=False)
    assert sum(int(text.get_text()) for text in ax.texts) == N_OBS - 50
    scx.pl.flow(adata, "type", "mine", show=False)
    scx.pl.embedding(adata, "mine", color="type", show=False)


DAYS = pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.array(DAYS * 120), [str(day) for day in DAYS]),
        (np.array([1, "day"] * 120, dtype=object), ["1", "day"]),
        (pd.array([True, None] * 120, dtype="boolean"), ["True", "NA"]),
        (np.array([b"one", b"two"] * 120, dtype=object), ["b'one'", "b'two'"]),
        (np.array([None] * 240, dtype=object), ["NA"]),
    ],
)
def test_labels_that_are_no_strings_are_drawn_as_categories(adata, values, names):
    adata.obs["odd"] = values
    axes = scx.pl.embedding(adata, "mine", color="odd", legend_loc="right margin", show=False)
    layouts = scx.pl.layouts(adata, ["X_mine", "X_noise"], color="odd", legend_loc="right margin", show=False)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert len(np.unique(axes.collections[0].get_facecolors(), axis=0)) == len(names)
    for panel in layouts:
        assert len(np.unique(panel.collections[0].get_facecolors(), axis=0)) == len(names)


@pytest.mark.parametrize("name", ["embedding", "layouts", "confusion", "flow", "reliability"])
def test_labels_that_are_tuples(adata, name):
    adata.obs["odd"] = [(1, 2), (3, 4)] * 120
    calls = {
        "embedding": lambda: scx.pl.embedding(adata, "mine", color="odd"),
        "layouts": lambda: scx.pl.layouts(adata, ["X_mine", "X_noise"], color="odd"),
        "reliability": lambda: scx.pl.reliability(adata, "mine", labels_key="odd"),
        "confusion": lambda: scx.pl.confusion(adata, "odd", "mine"),
        "flow": lambda: scx.pl.flow(adata, "odd", "mine"),
    }
    with pytest.raises(ValueError, match=r"='odd'`.*no categories. Turn them into strings"):
        calls[name]()


@pytest.mark.usefixtures("no_umap")
@pytest.mark.parametrize("name", [name for name in PLOTS if name != "benchmark"])
def test_data_on_disk(name, adata, tmp_path):
    """A plot of an AnnData that is backed by a file is that of the same data in memory; a view of it is refused."""
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"`adata` is a view of an AnnData on disk.*adata.to_memory\(\)"):
        PLOTS[name](backed[::2])
    for data, file in ((backed, "disk"), (backed.to_memory(), "memory")):
        PLOTS[name](data, return_fig=True).savefig(tmp_path / f"{file}.png")
    assert compare_images(str(tmp_path / "memory.png"), str(tmp_path / "disk.png"), tol=0) is None
    backed.file.close()


def test_nullable_scores():
    table = results()
    table.loc[table["dataset"] == "gut", "ARI"] = np.nan
    drawn = [
        [text.get_text() for text in scx.pl.benchmark(each, show=False)[0].texts]
        for each in (table, table.astype({"ARI": "Float64"}))
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"method": [[1]] * 24}, "`method_key='method'`.*no categories"),
        ({"dataset": [{}] * 24}, "`dataset_key='dataset'`.*no categories"),
        ({"method": [(1, 2)] * 24}, "`method_key='method'`.*no categories"),
        ({"method": np.nan}, "No row of `results` has a score, a `method_key='method'`"),
        ({"dataset": pd.NA}, "No row of `results` has a score, a `method_key='method'` and a `dataset_key='dataset'`"),
        ({"ARI": 1j}, "`score='ARI'`.*finite numbers, got complex"),
        ({"ARI": pd.array([None] * 24, dtype="Float64")}, "`score='ARI'`.*finite numbers, got Float64"),
    ],
)
def test_results_that_cannot_be_grouped(columns, says):
    with pytest.raises(ValueError, match=says):
        scx.pl.benchmark(results().assign(**columns))


def test_ranks_are_over_complete_datasets():
    scores, ranks = scx.pl.benchmark(results(), show=False)
    assert "2 datasets" in ranks.get_xlabel()
    assert scores.get_yticklabels()[0].get_text() == "one"
    seconds, _ = scx.pl.benchmark(results(), "seconds", higher_is_better=False, show=False)
    assert seconds.get_yticklabels()[0].get_text() == "three"
    chosen, _ = scx.pl.benchmark(results(), methods=["two", "one"], show=False)
    assert [text.get_text() for text in chosen.get_yticklabels()] == ["two", "one"]


# ----- errors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.embedding(a, "contrastive"), "scx.tl.contrastive(adata)"),
        (lambda a: scx.pl.embedding(a, "other"), "scx.tl.contrastive(adata, key_added='other')"),
        (lambda a: scx.pl.embedding(a, "mine", color="nothing"), "'nothing' is neither a gene nor"),
        (lambda a: scx.pl.history(a, "infovae"), "scx.tl.infovae(adata)"),
        (lambda a: scx.pl.history(a, "type"), "holds results under 'mine'"),
        (lambda a: scx.pl.history(a, "mine", losses="nothing"), "'clustering_loss'"),
        (lambda a: scx.pl.n_clusters(a, "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.confidence(a, "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.confidence(a, "type"), "type_confidence"),
        (lambda a: scx.pl.confusion(a, "nothing", "mine"), "`labels_key` one of 'mine', 'type'"),
        (lambda a: scx.pl.confusion(a, "type", "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.flow(a, "nothing", "mine"), "`labels_key` one of"),
        (lambda a: scx.pl.reliability(a, "nothing"), "There is no result of scx under `key='nothing'`"),
        (lambda a: scx.pl.reliability(a, "nothing", labels_key="type"), "scx.tl.semiaae(adata, labels_key"),
        (lambda a: scx.pl.reliability(a, "mine", labels_key="nothing"), "`labels_key` one of"),
        (lambda a: scx.pl.knn_preservation(a, "X_nothing"), "'X_nothing'"),
        (lambda a: scx.pl.knn_preservation(a, "X_mine", reference="X_nothing"), "X_nothing"),
        (lambda a: scx.pl.layouts(a, ["X_nothing"], color="mine"), "'X_nothing'"),
        (lambda a: scx.pl.layouts(a, ["X_mine"], color="nothing"), "'nothing'"),
        (lambda a: scx.pl.clustering_over_training(a, "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.clustering_over_training(a, "mine", labels_key="nothing"), "`labels_key` one of"),
        (lambda a: scx.pl.clustering_over_training(a, "mine", epochs=[7]), "Unknown `epochs`: 7"),
        (lambda a: scx.pl.benchmark(results(), "nothing"), "`score='nothing'`. `results` holds"),
        (lambda a: scx.pl.benchmark(results(), "dataset"), "must be different columns"),
        (lambda a: scx.pl.benchmark(results().assign(ARI="high")), "must hold finite numbers"),
        (lambda a: scx.pl.benchmark(results().assign(ARI=np.inf)), "must hold finite numbers"),
        (lambda a: scx.pl.benchmark(results(), methods=["nothing"]), "'nothing'"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call(adata)
    assert plt.get_fignums() == []


@pytest.mark.usefixtures("no_umap")
@pytest.mark.parametrize("name", ["embedding", "confidence", "layouts", "clustering_over_training"])
def test_failing_while_drawing_leaves_all_as_it_was(name, adata):
    """Figures, panels in Axes of the user, palettes and layouts: scanpy cannot read this value, and says so late."""
    before, options = frozen(adata), {"alpha": "high"}
    if name in ("embedding", "confidence"):
        options["basis"] = "X_new"
    fig, ax = plt.subplots()
    for where in (None, ax):
        with pytest.raises(ValueError, match="`alpha='high'`"):
            PLOTS[name](adata, ax=where, **options)
        assert plt.get_fignums() == [fig.number]
        assert fig.axes == [ax]
        assert ax.axison
        assert_identical(adata, before)


@pytest.mark.usefixtures("no_umap")
def test_interrupted_while_drawing(adata, monkeypatch):
    def interrupt(fig):
        raise KeyboardInterrupt

    monkeypatch.setattr(_figure, "settle", interrupt)
    before = frozen(adata)
    with pytest.raises(KeyboardInterrupt):
        scx.pl.embedding(adata, "mine")
    assert plt.get_fignums() == []
    assert_identical(adata, before)


@pytest.mark.parametrize("basis", [3, ["X_mine"], b"X_mine"])
def test_basis_is_a_name(adata, basis):
    before = frozen(adata)
    for plot in (scx.pl.embedding, scx.pl.confidence):
        with pytest.raises(TypeError, match="`basis` must be a string"):
            plot(adata, "mine", basis=basis)
    assert_identical(adata, before)


@pytest.mark.parametrize("entry", ["params", "history", "phases", "n_clusters", "calibration"])
def test_record_that_was_changed(adata, entry):
    adata.uns["mine"][entry] = 3
    with pytest.raises(ValueError, match=f"'{entry}'.*Run .* again"):
        scx.pl.history(adata, "mine")


@pytest.mark.parametrize("palette", [3, "red", ["no colour"] * 6, [["red"]]])
def test_palette_that_is_none(adata, palette):
    adata.uns["mine_colors"] = palette
    with pytest.raises(ValueError, match=r"mine_colors.*must list colours"):
        scx.pl.flow(adata, "type", "mine")


def test_no_cell_has_both(adata):
    adata.obs["early"] = adata.obs["type"].where(np.arange(N_OBS) < 100)
    adata.obs["late"] = adata.obs["mine"].where(np.arange(N_OBS) >= 100)
    for plot in (scx.pl.confusion, scx.pl.flow):
        with pytest.raises(ValueError, match="No cell has a value in both 'early' and 'late'"):
            plot(adata, "early", "late")


def test_errors_where_the_result_lacks_what_is_drawn(adata):
    for name in ("snapshots", "calibration"):
        del adata.uns["mine"][name]
    adata.uns["mine"]["n_clusters"] = {"chosen": 6, "reason": "given"}
    adata.obs["empty"] = np.nan
    with pytest.raises(ValueError, match="snapshot_epochs"):
        scx.pl.clustering_over_training(adata, "mine")
    with pytest.raises(ValueError, match="labels_key"):
        scx.pl.reliability(adata, "mine")
    with pytest.raises(ValueError, match=re.escape("scx.tl.cluster(adata, use_rep='X_mine'")):
        scx.pl.n_clusters(adata, "mine")
    with pytest.raises(ValueError, match="No cell has a value"):
        scx.pl.confusion(adata, "empty", "mine")
    with pytest.raises(TypeError, match="AnnData"):
        scx.pl.history(adata.obs, "mine")


# ----- signatures and examples


@pytest.mark.parametrize("name", scx.pl.__all__)
def test_signature(name):
    function = getattr(scx.pl, name)
    parameters = inspect.signature(function).parameters
    assert next(iter(parameters)) == ("results" if name == "benchmark" else "adata")
    for option, default in {"ax": None, "show": None, "return_fig": None}.items():
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[option].default is default
    documented = inspect.getdoc(function)
    for each in parameters:
        assert re.search(rf"^(\*\*)?(\w+, )*{each}(, \w+)*$", documented, flags=re.M), each
    assert "{plot_" not in documented
    for section in ("Returns", "Raises", "Examples"):
        assert f"\n{section}\n---" in documented


def example_of(name: str) -> str:
    """Return the code of the docstring's example."""
    lines = inspect.getdoc(getattr(scx.pl, name)).split("Examples\n--------\n")[1].splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")))


@pytest.fixture(scope="module")
def trained():
    """Short trainings of the calls in the examples, each done once."""
    return {}


@pytest.mark.parametrize("name", scx.pl.__all__)
@pytest.mark.usefixtures("no_umap")
def test_example_of_the_docstring_runs(name, trained, monkeypatch):
    def short(method, function, **short_kwargs):
        def run(adata, n_clusters, **kwargs):
            if method not in trained:
                trained[method] = function(adata, n_clusters, copy=True, n_top_genes=100, **short_kwargs)
            for field in ("obs", "obsm", "uns"):
                for each, value in getattr(trained[method], field).items():
                    getattr(adata, field)[each] = value

        return run

    kept = {"train_kwargs": {"snapshot_epochs": [0, 1, 3]}}
    monkeypatch.setattr(scx.tl, "contrastive", short("contrastive", scx.tl.contrastive, max_epochs=3, **kept))
    monkeypatch.setattr(scx.tl, "infovae", short("infovae", scx.tl.infovae, max_epochs=4))
    exec(example_of(name), {})
    assert plt.get_fignums()


def test_gallery_shows_every_example():
    gallery = Path(__file__).parents[2] / "docs" / "gallery.md"
    if not gallery.exists():
        pytest.skip("the documentation is not part of the source distribution")
    page = gallery.read_text()
    for name in scx.pl.__all__:
        assert example_of(name).splitlines()[-1] in page, name
