import numpy as np
import pandas as pd
import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.composition(a, "mine", "nothing"), "`batch_key`: 'nothing'"),
        (lambda a: scx.pl.composition(a, "cicl", "sample"), "scx.tl.cicl(adata)"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_bars_are_shares_and_points_are_mixing(adata):
    adata.obs.loc[adata.obs_names[-30:], "sample"] = np.nan
    bars, points = scx.pl.composition(adata, "mine", "sample", show=False)
    known = adata.obs[adata.obs["sample"].notna()]
    everything = known.assign(mine="all")
    table = pd.concat([known, everything]).groupby(["mine", "sample"], observed=True).size().unstack(fill_value=0)
    clusters = [name for name in adata.obs["mine"].cat.categories if name in table.index]
    shares = table.div(table.sum(axis=1), axis=0).loc[[*clusters, "all"]]
    drawn = np.array([bar.get_width() for bar in bars.patches]).reshape(shares.shape[::-1]).T
    np.testing.assert_allclose(drawn, shares)

    def different(cells):
        """Share of the pairs of cells, each with itself too, that are from different batches."""
        samples = cells["sample"].to_numpy()
        return np.mean(samples[:, None] != samples)

    expected = [different(known[known["mine"] == name]) / different(known) for name in clusters]
    np.testing.assert_allclose(np.asarray(points.collections[0].get_offsets())[:, 0], expected)
    assert expected[0] == 0  # all cells of the first cluster are from one donor
