"""Labelled cells in every training batch."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from scx.model._core.rows import RowSplitter, like


class LabeledBatches(Sampler[NDArray[np.int64]]):
    """Append labelled cells to every batch, one type after another, so that a rare type is seen as often as a common one.

    Parameters
    ----------
    batches
        Batches of row numbers.
    codes
        Type of each cell, negative where it is not given, shape (n_cells,).
    n_labeled
        Cells to append.
    """

    def __init__(self, batches: Iterable, codes: NDArray[np.int64], n_labeled: int) -> None:
        self.batches = batches
        self.cells_of_type = [np.flatnonzero(codes == code) for code in np.unique(codes[codes >= 0])]
        self.n_labeled = n_labeled

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        turn = 0
        n_types = len(self.cells_of_type)
        for batch in self.batches:
            # enough of each batch that all types have had their turn when the epoch ends
            n_labeled = max(self.n_labeled, -(-n_types // len(self)))
            cells = [self.cells_of_type[i % n_types] for i in range(turn, turn + n_labeled)]
            turn += n_labeled
            drawn = [own[int(torch.randint(len(own), ()))] for own in cells]
            yield np.concatenate([np.asarray(batch), drawn])


class LabeledSplitter(RowSplitter):
    """Data splitter whose training batches hold row numbers, and labelled cells beside those that are due.

    Parameters
    ----------
    adata_manager, **kwargs
        As in :class:`scvi.dataloaders.DataSplitter`.
    codes, n_labeled
        As in :class:`LabeledBatches`; without codes, batches are left as they are.
    """

    def __init__(
        self, adata_manager: Any, codes: NDArray[np.int64] | None = None, n_labeled: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(adata_manager, **kwargs)
        self.codes = codes
        self.n_labeled = n_labeled

    def train_dataloader(self) -> DataLoader:
        """Return training batches."""
        loader = super().train_dataloader()
        if self.codes is None:
            return loader
        return like(loader, sampler=LabeledBatches(loader.sampler, self.codes, self.n_labeled))
