import numpy as np
import pandas as pd
import pytest

import scx
from pl.plots import assert_refused, results


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.benchmark(results(), "nothing"), "`score='nothing'`. `results` holds"),
        (lambda a: scx.pl.benchmark(results(), "dataset"), "must be different columns"),
        (lambda a: scx.pl.benchmark(results().assign(ARI="high")), "must hold finite numbers"),
        (lambda a: scx.pl.benchmark(results().assign(ARI=np.inf)), "must hold finite numbers"),
        (lambda a: scx.pl.benchmark(results(), methods=["nothing"]), "'nothing'"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


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
        ({"method": [[1]] * 24}, "`method_key='method'`.*cannot be categories"),
        ({"dataset": [{}] * 24}, "`dataset_key='dataset'`.*cannot be categories"),
        ({"method": [(1, 2)] * 24}, "`method_key='method'`.*cannot be categories"),
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
