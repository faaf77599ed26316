import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.confidence(a, "cicl"), "scx.tl.cicl(adata)"),
        (lambda a: scx.pl.confidence(a, "type"), "type_confidence"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)
