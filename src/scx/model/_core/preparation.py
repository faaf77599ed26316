"""From any AnnData to the input of a model: its genes by name, and size factors."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx._anndata import check_layer
from scx._checks import warn

from .source import CellSource

N_NAMED = 5
"""Genes that a message names."""


@dataclass(frozen=True)
class Preparation:
    """What a model reads of an AnnData: fitted once, saved with the model, applied to any cells.

    The statistics of the normalisation are buffers of
    :class:`~scx.model._core.normalize.LogNormalize`, and are saved with its weights.
    """

    genes: NDArray[np.str_]
    """Names of the genes, in the order of the model."""
    layer: str | None = None
    """Layer with counts; None for ``X``."""
    size_factor_key: str | None = None
    """Column of ``obs`` with size factors. Cells without this column get their total counts over
    `size_factor_genes`; None sums over `genes`."""
    size_factor_genes: NDArray[np.str_] | None = None
    """Names of the genes whose counts are summed; None if only the column gives size factors."""

    def source(self, adata: AnnData, *, are_counts: bool = True) -> CellSource:
        """Return the cells of `adata` as a model reads them.

        Raise unless it has the genes and the size factors.
        """
        check_layer(adata, self.layer)
        columns = gene_columns(adata.var_names, self.genes)
        key, names = self.size_factor_key, self.size_factor_genes
        from_column = summed = None
        if key is not None and (key in adata.obs or names is None):
            from_column = size_factors(adata, key)
        elif names is not None:
            summed = np.asarray(adata.var_names.isin(names))
            n_missing = len(names) - len(adata.var_names.intersection(pd.Index(names)))
            if n_missing:
                warn(
                    f"{n_missing} of the {len(names)} genes whose counts are the size factors of cells are not in "
                    "`adata.var_names`. Size factors are too small by the counts of these genes; pass an AnnData with "
                    "all genes of the training data.",
                )
        return CellSource(
            adata,
            columns,
            layer=self.layer,
            size_factors=from_column,
            size_factor_columns=summed,
            are_counts=are_counts,
        )

    def apply(self, adata: AnnData) -> AnnData:
        """Return the genes of the model, and the column of size factors.

        It is `adata` itself if that has both already.
        """
        columns = gene_columns(adata.var_names, self.genes)
        key = self.size_factor_key
        if columns is None and (key is None or key in adata.obs):
            return adata
        totals = None
        if key is not None and key not in adata.obs:
            source = self.source(adata)
            totals = np.concatenate([batch.size_factor.numpy()[:, 0] for batch in source.batches()])
        part = adata if columns is None else adata[:, columns]
        prepared = part.to_memory() if adata.isbacked else part.copy()
        if totals is not None:
            prepared.obs[key] = totals.astype(np.float64)
        return prepared


def gene_columns(var_names: pd.Index, genes: NDArray[np.str_]) -> NDArray[np.int64] | None:
    """Return the column of each gene, None if `var_names` are the genes.

    Raise unless each gene is there once.
    """
    wanted = pd.Index(genes)
    if wanted.equals(var_names):
        return None
    if wanted.has_duplicates:
        names = _listed(wanted[wanted.duplicated()].unique())
        msg = (
            f"The model was trained on genes with the same name ({names}), so it only takes an AnnData with exactly "
            "the same `var_names`. Call `adata.var_names_make_unique()` before training."
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


def size_factors(adata: AnnData, key: str) -> NDArray[np.float32]:
    """Return the size factors in ``adata.obs[key]``, shape (n_cells,).

    Raise unless they are finite and not negative.
    """
    if key not in adata.obs:
        msg = f"`adata.obs` lacks {key!r}, the size factor of each cell, which the model was set up with. Add this column."
        raise ValueError(msg)
    column = cast("pd.Series[Any]", adata.obs[key])
    values: NDArray[np.float32] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    n_bad = int((~(np.isfinite(values) & (values >= 0))).sum())
    if n_bad:
        msg = (
            f"`size_factor_key`: `adata.obs[{key!r}]` must hold a size factor for each cell; {n_bad} of {adata.n_obs} are missing, infinite or "
            "negative. Compute them again, or leave these cells out."
        )
        raise ValueError(msg)
    return values


def _listed(names: pd.Index) -> str:
    more = ", …" if len(names) > N_NAMED else ""
    return ", ".join(map(repr, names[:N_NAMED].tolist())) + more
