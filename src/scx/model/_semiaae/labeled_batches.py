"""Labelled cells in every training batch."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, Sampler


class LabeledBatches(Sampler[NDArray[np.int64]]):
    """Append labelled cells to every batch, one type after another.

    A rare type is then seen as often as a common one.

    Parameters
    ----------
    batches
        Batches of row numbers.
    codes
        Type of each cell, negative if unlabelled, shape (n_cells,).
    n_labeled
        Cells to append.
    """

    def __init__(self, batches: BatchSampler, codes: NDArray[np.int64], n_labeled: int) -> None:
        self.batches = batches
        self.cells_of_type = [np.flatnonzero(codes == code) for code in np.unique(codes[codes >= 0])]
        self.n_labeled = n_labeled

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        turn = 0
        n_types = len(self.cells_of_type)
        for batch in self.batches:
            # Enough per batch to show every type in each epoch.
            n_labeled = max(self.n_labeled, -(-n_types // len(self)))
            cells = [self.cells_of_type[i % n_types] for i in range(turn, turn + n_labeled)]
            turn += n_labeled
            drawn = [own[int(torch.randint(len(own), ()))] for own in cells]
            yield np.concatenate([np.asarray(batch), drawn])
