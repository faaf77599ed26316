"""What every plot looks like and how it is documented."""

import inspect
import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

import scx
from pl.plots import MANY, PLOTS, assert_looks_like, fabricated


def test_every_plot_is_tested():
    assert set(PLOTS) == set(scx.pl.__all__)


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.usefixtures("no_umap")
def test_image(name, adata, tmp_path):
    assert_looks_like(PLOTS[name](adata, return_fig=True), name, tmp_path)


@pytest.mark.parametrize("name", MANY)
def test_image_of_many_clusters(name, tmp_path):
    assert_looks_like(MANY[name](fabricated(30, 24), return_fig=True), name, tmp_path)


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
    with pytest.raises(ValueError, match=r"='odd'`.*cannot be categories. Turn them into strings"):
        calls[name]()


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


@pytest.mark.slow
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
