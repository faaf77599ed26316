"""Text that would not fit."""

import scx
from pl.plots import fabricated


def test_names_on_the_data_do_not_overlap():
    fig = scx.pl.embedding(fabricated(30), "mine", return_fig=True)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert len(boxes) == 30
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
