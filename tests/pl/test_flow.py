import numpy as np
import pytest

import scx
from pl.plots import assert_refused
from scx.pl._flow import spread_out


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.flow(a, "nothing", "mine"), "`labels_key` one of"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


@pytest.mark.parametrize("seed", range(5))
def test_names_are_moved_apart_and_no_more(seed):
    centers = np.sort(np.random.default_rng(seed).random(20))
    places = spread_out(centers, 0.04)
    assert (np.diff(places) >= 0.04 - 1e-9).all()
    assert places.min() >= 0
    assert places.max() <= 1 + 1e-9
    np.testing.assert_allclose(spread_out(np.linspace(0, 1, 20), 0.04), np.linspace(0, 1, 20))
