"""Cells to embed, read from an AnnData that is left as it is: genes by name, and values that can be what the model takes."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from scvi import REGISTRY_KEYS
from torch import Tensor

from scx._anndata import check_layer, matrix_name

N_NAMED = 5
"""Genes that a message names."""


class CellReader:
    """Batches of the cells of an AnnData, as the module of a model takes them.

    scvi-tools checks only how many genes there are, and registers what it reads in the user's ``uns``.

    Parameters
    ----------
    adata
        In memory or on disk; has the genes of the model in any order, and may have others.
    genes
        Names of the genes of the model, in its order.
    layer, size_factor_key
        As in ``setup_anndata``.
    counts
        Whether values are counts; other values may be negative.
    """

    def __init__(
        self,
        adata: AnnData,
        genes: Sequence[str] | NDArray,
        *,
        layer: str | None,
        size_factor_key: str | None,
        counts: bool,
    ) -> None:
        check_layer(adata, layer)
        self.n_obs = adata.n_obs
        self.columns = gene_columns(adata.var_names, genes)
        self.size_factors = None if size_factor_key is None else size_factors(adata, size_factor_key)
        self.counts = counts
        self.source = matrix_name(layer)
        self._matrix: Any = adata.X if layer is None else adata.layers[layer]

    def batches(self, rows: NDArray[np.int64], batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Yield cells in batches of nearly equal size, so that none is left with a few cells.

        Parameters
        ----------
        rows
            Row numbers, increasing, as data on disk are read.
        batch_size
            Most cells in a batch.
        """
        for batch in np.array_split(rows, math.ceil(len(rows) / batch_size)):
            block = self._matrix[batch]
            if hasattr(block, "compute"):  # dask
                block = block.compute()
            x = block.toarray() if sparse.issparse(block) else np.asarray(block)
            x = x.astype(np.float32, copy=False)
            tensors = torch.from_numpy(x if self.columns is None else x.take(self.columns, axis=1))
            check_values(tensors, self.source, counts=self.counts)
            yield {REGISTRY_KEYS.X_KEY: tensors} | (
                {}
                if self.size_factors is None
                else {REGISTRY_KEYS.SIZE_FACTOR_KEY: torch.from_numpy(self.size_factors[batch, None])}
            )


def gene_columns(var_names: pd.Index, genes: Sequence[str] | NDArray) -> NDArray[np.int64] | None:
    """Return where in `var_names` the `genes` are, None where both are the same; raise unless each is there once."""
    wanted = pd.Index(genes)
    if wanted.equals(var_names):
        return None
    if wanted.has_duplicates:
        names = _listed(wanted[wanted.duplicated()].unique())
        msg = (
            f"The model was trained on genes of the same name ({names}), which only an AnnData with the very same "
            "`var_names` can be matched with. Call `adata.var_names_make_unique()` before training."
        )
        raise ValueError(msg)
    missing = wanted[~wanted.isin(var_names)]
    if len(missing):
        msg = (
            f"{len(missing)} of the {len(wanted)} genes of the model are not in `adata.var_names`: {_listed(missing)}. "
        )
        if len(missing) == len(wanted):
            msg += f"These are names such as {_listed(var_names)}: use names of the same kind as in training."
        else:
            msg += "Use the names of training, or train on the genes that all data have (`mask_var`)."
        raise ValueError(msg)
    places = np.flatnonzero(var_names.isin(wanted))
    held = var_names[places]
    if held.has_duplicates:
        names = _listed(held[held.duplicated()].unique())
        msg = f"Genes of the model are in `adata.var_names` more than once: {names}. Keep one column of each."
        raise ValueError(msg)
    return places[held.get_indexer(wanted)]


def row_numbers(indices: Any, n_obs: int) -> NDArray[np.int64]:
    """Return the row numbers that `indices` gives, by numbers or by True and False; raise unless there are such cells."""
    values = np.asarray(indices)
    is_mask = values.dtype == bool and values.shape == (n_obs,)
    is_list = values.ndim == 1 and np.issubdtype(values.dtype, np.integer)
    if not values.size:
        msg = "`indices` names no cell. Pass None for all cells."
        raise ValueError(msg)
    if not (is_mask or (is_list and (values >= -n_obs).all() and (values < n_obs).all())):
        msg = f"`indices` must hold row numbers below {n_obs}, or one True or False for each of {n_obs} cells."
        raise ValueError(msg)
    return np.arange(n_obs)[values]


def size_factors(adata: AnnData, key: str) -> NDArray[np.float32]:
    """Return the size factors in ``adata.obs[key]``, shape (n_cells,); raise unless they are finite and not negative."""
    if key not in adata.obs:
        msg = (
            f"`adata.obs` lacks {key!r}, the size factor of each cell. It is the total count of the cell where the model was "
            f"trained by a function of `scx.tl`: `adata.obs[{key!r}] = np.asarray(adata.X.sum(axis=1)).ravel()`."
        )
        raise ValueError(msg)
    values = pd.to_numeric(adata.obs[key], errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    n_bad = int((~(np.isfinite(values) & (values >= 0))).sum())
    if n_bad:
        msg = (
            f"`size_factor_key`: `adata.obs[{key!r}]` must hold a size factor for each cell; {n_bad} of {adata.n_obs} are missing, infinite or "
            "negative. Compute them anew, or leave these cells out."
        )
        raise ValueError(msg)
    return values


def check_values(x: Tensor, source: str, *, counts: bool) -> None:
    """Raise if values from `source` are not finite, or negative where they are `counts`."""
    n_bad = x.numel() - int(x.isfinite().sum())
    if n_bad:
        msg = f"{source} holds {n_bad} values that are NaN or infinite. Remove these cells or genes, or correct the values."
        raise ValueError(msg)
    if counts and bool((x < 0).any()):
        msg = f"{source} holds negative values; the model takes raw counts. Pass an AnnData that has them there."
        raise ValueError(msg)


def _listed(names: pd.Index) -> str:
    more = ", …" if len(names) > N_NAMED else ""
    return ", ".join(map(repr, names[:N_NAMED].tolist())) + more
