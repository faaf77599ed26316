import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
import scanpy as sc
from matplotlib import pyplot as plt

from pl.plots import fabricated
from scx.pl import _clustering_over_training
from scx.pl._kit import layout


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

    monkeypatch.setattr(layout, "compute_umap", first_two)
    monkeypatch.setattr(_clustering_over_training, "compute_umap", first_two)
    return calls
