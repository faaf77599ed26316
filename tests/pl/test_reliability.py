import numpy as np
import pytest

import scx
from pl.plots import N_OBS, assert_refused
from scx.pl._reliability import _calibration


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.reliability(a, "nothing"), "There is no result of scx under `key='nothing'`"),
        (
            lambda a: scx.pl.reliability(a, "nothing", labels_key="type"),
            "(adata, labels_key=..., key_added='nothing')",
        ),
        (lambda a: scx.pl.reliability(a, "mine", labels_key="nothing"), "`labels_key` one of"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_method_that_measured_no_calibration(adata):
    del adata.uns["mine"]["calibration"]
    with pytest.raises(ValueError, match="labels_key"):
        scx.pl.reliability(adata, "mine")


def test_expected_calibration_error(adata):
    bins = _calibration(adata, "mine", "type", None, 10)
    sure = adata.obs["mine_confidence"].to_numpy(dtype=float)
    right = (adata.obs["mine_prediction"].astype(str) == adata.obs["type"].astype(str)).to_numpy()
    expected = 0.0
    for b in range(10):
        here = (sure >= b / 10) & ((sure < (b + 1) / 10) | (b == 9))
        if here.any():
            expected += here.mean() * abs(right[here].mean() - sure[here].mean())
    assert bins.ece == pytest.approx(expected)
    assert bins.n_cells.sum() == N_OBS
    subset = np.arange(N_OBS) < 100
    assert _calibration(adata, "mine", "type", subset, 10).n_cells.sum() == 100
    ax = scx.pl.reliability(adata, "mine", labels_key="type", show=False)
    assert f"{expected:.3f}" in ax.get_title()
