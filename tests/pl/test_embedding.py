import pytest

import scx
from pl.plots import assert_refused
from scx._methods import METHODS


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.embedding(a, "contrastive"), "scx.tl.contrastive(adata)"),
        (
            lambda a: scx.pl.embedding(a, "other"),
            f"scx.tl.<method>(adata, key_added='other')`, where <method> is {next(iter(METHODS))}, ",
        ),
        (lambda a: scx.pl.embedding(a, "mine", color="nothing"), "'nothing' is neither a gene nor"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)
