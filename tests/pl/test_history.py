import pytest

import scx
from pl.plots import assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.history(a, "infovae"), "scx.tl.infovae(adata)"),
        (lambda a: scx.pl.history(a, "type"), "holds results under 'mine'"),
        (lambda a: scx.pl.history(a, "mine", losses="nothing"), "'clustering_loss'"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_table_in_place_of_cells(adata):
    with pytest.raises(TypeError, match="AnnData"):
        scx.pl.history(adata.obs, "mine")
