import numpy as np
from torch.utils.data import BatchSampler, SequentialSampler

from scx._rng import global_seed
from scx.model._core.pairs import PairBatches


def test_batches_hold_cells_and_then_a_neighbor_of_each():
    neighbors = np.stack([(np.arange(10) + 1) % 10, (np.arange(10) + 2) % 10], axis=1)
    batches = PairBatches(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), neighbors)
    with global_seed(0):
        drawn = [list(batches) for _ in range(50)]
    assert len(batches) == 3
    seen = set()
    for epoch in drawn:
        assert np.concatenate([np.split(batch, 2)[0] for batch in epoch]).tolist() == list(range(10))
        for cells, partners in (np.split(batch, 2) for batch in epoch):
            step = (partners - cells) % 10
            assert np.isin(step, [1, 2]).all()
            seen |= set(step)
    assert seen == {1, 2}  # both neighbours are drawn
