"""Pairs of labels and clusters."""

import numpy as np
import pandas as pd
import pytest

import scx
from pl.plots import N_OBS
from scx.pl._kit.matching import matched_counts


def test_pairs_make_the_diagonal_heavy():
    rng = np.random.default_rng(0)
    labels = pd.Series(pd.Categorical(rng.choice(list("abcd"), 300)))
    clusters = labels.map({"a": "3", "b": "0", "c": "0", "d": "1"}).astype("category")
    clusters[:20] = "1"
    table = matched_counts(labels, clusters)
    assert table.to_numpy().sum() == 300
    diagonal = np.diag(table.to_numpy())
    assert (np.diff(diagonal) <= 0).all()
    plain = pd.crosstab(labels, clusters)
    assert diagonal.sum() >= np.diag(plain.to_numpy()).sum()
    assert set(table.index) == set("abcd")
    more = matched_counts(clusters, labels)
    assert list(more.columns[:3]) == list(table.index[:3])


def test_no_cell_has_both(adata):
    adata.obs["early"] = adata.obs["type"].where(np.arange(N_OBS) < 100)
    adata.obs["late"] = adata.obs["mine"].where(np.arange(N_OBS) >= 100)
    for plot in (scx.pl.confusion, scx.pl.flow):
        with pytest.raises(ValueError, match="No cell has a value in both 'early' and 'late'"):
            plot(adata, "early", "late")
