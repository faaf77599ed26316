import re

import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.n_clusters(a, "cicl"), "scx.tl.cicl(adata)"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_number_that_was_passed(adata):
    adata.uns["mine"]["n_clusters"] = {"chosen": 6, "reason": "given"}
    with pytest.raises(ValueError, match=re.escape("scx.tl.cluster(adata, use_rep='X_mine'")):
        scx.pl.n_clusters(adata, "mine")
