import numpy as np
import pytest
from sklearn import metrics

import scx
from metrics.annotated import annotated


def test_stability():
    rng = np.random.default_rng(0)
    adata = annotated(rng.integers(0, 3, 50), rng.integers(0, 4, 50))
    adata.obs["third"] = rng.integers(0, 2, 50)
    frame = scx.metrics.stability(adata, ["labels", "clusters", "third"])
    assert list(frame.index) == list(frame.columns) == ["labels", "clusters", "third"]
    assert frame.loc["labels", "third"] == frame.loc["third", "labels"]
    assert frame.loc["labels", "third"] == metrics.adjusted_rand_score(adata.obs["labels"], adata.obs["third"])
    assert (np.diag(frame) == 1).all()


def test_stability_is_over_the_cells_that_both_cover():
    rng = np.random.default_rng(0)
    adata = annotated(rng.integers(0, 3, 60), rng.integers(0, 3, 60))
    adata.obs["clusters"] = adata.obs["clusters"].where(np.arange(60) >= 20)
    adata.obs["labels"] = adata.obs["labels"].where(np.arange(60) < 50)
    both = adata.obs.iloc[20:50]
    frame = scx.metrics.stability(adata, ["labels", "clusters"])
    assert frame.loc["labels", "clusters"] == metrics.adjusted_rand_score(both["labels"], both["clusters"])


@pytest.mark.parametrize(
    ("keys", "match"),
    [(["labels"], "`keys` must list at least two"), (["labels", "x"], r"Unknown `keys`: 'x'\. `adata\.obs` holds")],
)
def test_stability_says_what_is_wrong(keys, match):
    with pytest.raises(ValueError, match=match):
        scx.metrics.stability(annotated([0, 1], [0, 1]), keys)
