import numpy as np
import pytest

from scx.model._semiaae.labeled_batches import LabeledBatches


@pytest.mark.parametrize("n_labeled", [1, 3])
def test_every_type_is_in_every_epoch(n_labeled):
    """Also of a file sorted by type, with one labelled cell of some types and more types than batches."""
    types = np.repeat(np.arange(12), 25)
    codes = np.where(np.arange(300) % 25 < np.where(types % 2, 1, 5), types, -1)
    batches = [np.arange(i, i + 50) for i in range(0, 300, 50)]
    for _ in range(5):
        appended = [batch[50:] for batch in LabeledBatches(batches, codes, n_labeled)]
        drawn = np.concatenate(appended)
        assert all(len(cells) >= n_labeled for cells in appended)
        counts = np.bincount(codes[drawn], minlength=12)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1
        assert (codes[drawn] >= 0).all()
