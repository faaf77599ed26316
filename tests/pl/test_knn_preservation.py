import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.knn_preservation(a, "X_nothing"), "'X_nothing'"),
        (lambda a: scx.pl.knn_preservation(a, "X_mine", reference="X_nothing"), "X_nothing"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)
