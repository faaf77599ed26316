import numpy as np
import pandas as pd
import pytest

import scx
from pl.plots import N_OBS, assert_refused
from scx.pl._clustering_over_training import _matched_to_final


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.clustering_over_training(a, "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.clustering_over_training(a, "mine", labels_key="nothing"), "`labels_key` one of"),
        (lambda a: scx.pl.clustering_over_training(a, "mine", epochs=[7]), "Unknown `epochs`: 7"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_training_without_snapshots(adata):
    del adata.uns["mine"]["snapshots"]
    with pytest.raises(ValueError, match="snapshot_epochs"):
        scx.pl.clustering_over_training(adata, "mine")


def test_clusters_keep_their_colours_over_training(adata):
    codes = adata.obsm["mine_snapshots"]
    named = _matched_to_final(codes, adata.obs["mine"])
    assert named[-1].astype(str).tolist() == adata.obs["mine"].astype(str).tolist()
    merged = pd.Series(pd.Categorical(np.where(adata.obs["mine"] == "5", "4", adata.obs["mine"].astype(str))))
    assert list(_matched_to_final(codes, merged)[-1].cat.categories)[-1] == "+1"


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
    [
        ("X_mine_snapshots", np.nan, "mine.*finite"),
        ("mine_snapshots", 0.5, "mine.*of float64"),
        ("mine_snapshots", None, "no snapshots.*mine.*Keep them with"),
    ],
)
def test_snapshots_that_are_none(adata, name, values, says):
    if values is None:
        del adata.obsm[name]
    else:
        adata.obsm[name] = np.full_like(adata.obsm[name], values, dtype=float)
    with pytest.raises(ValueError, match=says):
        scx.pl.clustering_over_training(adata, "mine")
