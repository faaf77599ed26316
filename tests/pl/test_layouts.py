import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.layouts(a, ["X_nothing"], color="mine"), "'X_nothing'"),
        (lambda a: scx.pl.layouts(a, ["X_mine"], color="nothing"), "'nothing'"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)
