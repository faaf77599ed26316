"""How a plot begins and ends: arguments, what it returns and writes, and that a failure leaves no trace."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images

import scx
from pl.plots import N_PANELS, PLOTS
from robustness.identical import assert_identical, frozen
from scx.pl._kit import plot as _plot


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
    assert set(adata.uns) - set(before.uns) <= {"mine_colors", "type_colors", "sample_colors"}
    np.testing.assert_array_equal(adata.X, before.X)


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

    monkeypatch.setattr(_plot, "settle", interrupt)
    before = frozen(adata)
    with pytest.raises(KeyboardInterrupt):
        scx.pl.embedding(adata, "mine")
    assert plt.get_fignums() == []
    assert_identical(adata, before)


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
