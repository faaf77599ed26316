import anndata as ad
import numpy as np
import pytest

import scx
from pl.plots import assert_refused


def drawn(axes):
    return [text.get_text() for text in axes[0].get_yticklabels()]


def test_the_best_clustering_of_an_ensemble_is_at_the_top(adata):
    axes = scx.pl.count_evidence(adata, "mine", show=False)
    table = adata.uns["mine"]["clusterings"]
    order = np.argsort(-table["score"])
    assert drawn(axes) == [f"{table['algorithm'][i]} on {table['embedding'][i]}" for i in order]
    agreement, score = (np.asarray(points.get_offsets()) for points in axes[0].collections[:2])
    np.testing.assert_allclose(score, np.column_stack([table["score"][order], range(6)]))
    np.testing.assert_allclose(agreement[:, 0], table["agreement"][order])
    fit = np.asarray(axes[1].collections[0].get_offsets())
    np.testing.assert_allclose(fit[:, 0], table["deviance_explained"][order])


def test_columns_are_scored(adata):
    wide = ad.AnnData(np.tile(adata.X, 4) + 1, obs=adata.obs)  # enough genes, and no empty cell
    axes = scx.pl.count_evidence(wide, ["mine", "type"], show=False)
    table = scx.metrics.count_evidence(wide, ["mine", "type"]).sort_values("score", ascending=False, kind="stable")
    assert drawn(axes) == list(table.index)
    np.testing.assert_allclose(np.asarray(axes[1].collections[0].get_offsets())[:, 0], table["deviance_explained"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.uns["mine"].pop("clusterings"), "There is no ensemble"),
        (lambda a: a.uns["mine"]["clusterings"].update(score=[[1]]), "'score'"),
    ],
)
def test_records_without_clusterings(adata, change, says):
    change(adata)
    assert_refused(lambda: scx.pl.count_evidence(adata, "mine"), says)
