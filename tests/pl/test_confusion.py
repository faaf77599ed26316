import numpy as np
import pytest

import scx
from pl.plots import N_OBS, assert_refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda a: scx.pl.confusion(a, "nothing", "mine"), "`labels_key` one of 'mine', 'type'"),
        (lambda a: scx.pl.confusion(a, "type", "cicl"), "scx.tl.cicl(adata)"),
    ],
)
def test_errors_say_what_to_do(adata, call, says):
    assert_refused(lambda: call(adata), says)


def test_cells_without_labels_are_left_out(adata):
    adata.obs.loc[adata.obs_names[:50], "type"] = np.nan
    ax = scx.pl.confusion(adata, "type", "mine", counts=True, show=False)
    assert sum(int(text.get_text()) for text in ax.texts) == N_OBS - 50
    scx.pl.flow(adata, "type", "mine", show=False)
    scx.pl.embedding(adata, "mine", color="type", show=False)


def test_labels_without_a_value(adata):
    adata.obs["empty"] = np.nan
    with pytest.raises(ValueError, match="No cell has a value"):
        scx.pl.confusion(adata, "empty", "mine")
