import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import scx


def test_consensus_writes_clusters_and_agreement(embedded):
    rng = np.random.default_rng(0)
    for i in range(5):
        values = embedded.obs["groups"].to_numpy().copy()
        values[rng.random(300) < 0.2] = "2"
        embedded.obs[f"run{i}"] = pd.Categorical(values)
    before = embedded.copy()
    copied = scx.tl.consensus(embedded, [f"run{i}" for i in range(5)], copy=True)
    assert set(embedded.obs) == set(before.obs)
    assert set(copied.obs) - set(before.obs) == {"consensus", "consensus_agreement"}
    assert adjusted_rand_score(copied.obs["consensus"], copied.obs["groups"]) > 0.9
    assert copied.uns["consensus"]["agreement"].shape == (5,)
    assert copied.uns["consensus"]["params"]["keys"].tolist() == [f"run{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (["groups"], "at least two"),
        (["groups", "x"], "Unknown `keys`: 'x'"),
        (["groups", "gap"], "1 of 300 cells"),
    ],
)
def test_consensus_of_bad_keys(embedded, keys, match):
    embedded.obs["gap"] = embedded.obs["groups"].where(np.arange(300) > 0)
    with pytest.raises(ValueError, match=match):
        scx.tl.consensus(embedded, keys)
