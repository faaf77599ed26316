"""Step 2: choose the genes, and compute the counts and size factors to train on."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx import _anndata, _checks
from scx._compat import MASK_VAR_DEFAULT
from scx._matrix import log_normalized
from scx._workflow.keys import SIZE_FACTOR

if TYPE_CHECKING:
    from scx.model._core.preparation import Preparation

MIN_CELLS = 3
"""Genes with counts in fewer cells are left out where no recipe says otherwise."""


@dataclass(frozen=True)
class WorkingData:
    """The data to train on. The counts share memory with the user's if all genes are used."""

    adata: AnnData
    """Cells × genes of the model, with size factors, and counts in the user's layer."""
    preparation: "Preparation"
    """Prepares other cells in the same way."""


def prepare(
    counts: sparse.csr_matrix,
    adata: AnnData,
    *,
    layer: str | None,
    mask_var: NDArray[np.bool_] | None,
    n_top_genes: int,
    min_cells: int | float,
    batches: "pd.Series[Any] | None" = None,
) -> WorkingData:
    """Choose the genes and compute the size factors, the total counts of cells over all genes.

    Parameters
    ----------
    counts
        Counts of all genes, cells × genes, from :func:`scx._matrix.read_counts`.
    adata
        The user's AnnData. Only the names of cells and genes are read.
    layer
        Layer that holds the counts; None for ``X``.
    mask_var
        Genes to use, from :func:`resolve_mask_var`; None selects by variability.
    n_top_genes
        Number of highly variable genes if `mask_var` is None; all genes if there are fewer.
    min_cells
        Genes with counts in fewer cells are dropped first; a float is a fraction of the cells.
    batches
        Batch of each cell, named like its column, from :func:`scx._anndata.check_batches`; None for
        no batches.
    """
    from scx.model._core.preparation import Preparation

    least = math.ceil(min_cells * counts.shape[0]) if isinstance(min_cells, float) else min_cells
    kept, totals = expressed_genes(counts, least)
    mask = kept & (mask_var if mask_var is not None else True)
    if mask_var is None and mask.sum() > n_top_genes:
        candidates = np.flatnonzero(mask)
        most_variable = most_variable_genes(counts[:, candidates], totals, n_top_genes, batches)
        mask = np.isin(np.arange(len(mask)), candidates[most_variable])
    if mask.sum() < _anndata.MIN_GENES:
        msg = (
            f"Only {mask.sum()} of the selected genes have counts in at least {least} cells; training needs "
            f"{_anndata.MIN_GENES}. Select more genes with `mask_var` or `n_top_genes`."
        )
        raise ValueError(msg)
    chosen = counts if mask.all() else counts[:, mask]
    working = AnnData(
        X=chosen if layer is None else None,
        obs=pd.DataFrame({SIZE_FACTOR: totals}, index=adata.obs_names),
        var=pd.DataFrame(index=adata.var_names[mask]),
        layers=None if layer is None else {layer: chosen},
    )
    names = np.asarray(adata.var_names)
    preparation = Preparation(names[mask], layer, SIZE_FACTOR, names[kept], shares_of_counts(counts, kept))
    if batches is not None:
        working.obs[batches.name] = batches
        names_of_batches = np.asarray(batches.cat.categories, dtype=str)
        preparation = replace(preparation, batch_key=str(batches.name), batches=names_of_batches)
    return WorkingData(working, preparation)


def shares_of_counts(counts: sparse.csr_matrix, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of the counts of the genes `kept` that each of them has."""
    sums = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()[kept]
    shares: NDArray[np.float64] = sums / sums.sum()
    return shares


def expressed_genes(counts: sparse.csr_matrix, min_cells: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which genes have counts in `min_cells` cells, and the totals of cells over them."""
    kept = counts.getnnz(axis=0) >= min_cells
    return kept, np.asarray(counts @ kept.astype(np.float32), dtype=np.float64)


@dataclass(frozen=True)
class VariableCounts:
    """Counts of the most variable genes."""

    counts: sparse.csr_matrix
    """Cells × genes, the most variable gene first."""
    size_factors: NDArray[np.float64]
    """Counts of each cell over the genes that are counted, shape (n_cells,)."""
    genes: NDArray[np.int64]
    """Numbers of these genes."""
    is_counted: NDArray[np.bool_]
    """Which of all genes are counted."""


def variable_counts(counts: sparse.csr_matrix, mask: NDArray[np.bool_] | None, n_genes: int) -> VariableCounts:
    """Return the counts of the most variable genes.

    Parameters
    ----------
    counts
        Counts of all genes, cells × genes.
    mask
        Genes to choose from; None for all. Those with counts in fewer than three cells are left
        out.
    n_genes
        Number of genes; all if there are fewer.
    """
    kept, totals = expressed_genes(counts, MIN_CELLS)
    candidates = np.flatnonzero(kept if mask is None else kept & mask)
    if len(candidates) < _anndata.MIN_GENES:
        msg = (
            f"Only {len(candidates)} of the selected genes have counts in at least {MIN_CELLS} cells; at least "
            f"{_anndata.MIN_GENES} are needed. Select more genes with `mask_var`."
        )
        raise ValueError(msg)
    ranked = candidates[rank_by_variability(counts[:, candidates], totals)][:n_genes]
    return VariableCounts(counts[:, ranked].sorted_indices(), totals, ranked, kept)


def resolve_mask_var(
    adata: AnnData, mask_var: Any, n_top_genes: int | None, *, use_flagged: bool
) -> NDArray[np.bool_] | None:
    """Return the argument `mask_var` as a mask over genes; None to select highly variable genes.

    The default is ``adata.var["highly_variable"]`` if it exists, unless the call asks for a number
    of genes or the recipe selects its own (`use_flagged` false). None stands for all genes, as in
    :func:`scanpy.pp.pca`.
    """
    if mask_var is MASK_VAR_DEFAULT:
        if n_top_genes is not None or not use_flagged or "highly_variable" not in adata.var:
            return None
        mask_var = "highly_variable"
    elif n_top_genes is not None:
        msg = (
            "Pass either `mask_var` or `n_top_genes`: the first says which genes to use, the second how many to select."
        )
        raise ValueError(msg)
    if mask_var is None:
        return np.ones(adata.n_vars, dtype=bool)
    name = f"`mask_var` ({mask_var!r})" if isinstance(mask_var, str) else "`mask_var`"
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            booleans = [column for column in adata.var if adata.var[column].dtype == bool]
            msg = f"Unknown `mask_var`: {mask_var!r}. Boolean columns of `adata.var`: {booleans}."
            raise ValueError(msg)
        mask_var = adata.var[mask_var]
    return _checks.check_mask(name, mask_var, adata.var_names, "gene")


def most_variable_genes(
    counts: sparse.csr_matrix, size_factors: NDArray[np.floating], n_genes: int, batches: "pd.Series[Any] | None"
) -> NDArray[np.int64]:
    """Return the most variable genes.

    With batches, these are the genes that are among the most variable in most batches; the mean
    normalised dispersion decides between genes with the same number, as in scanpy.
    """
    if batches is None:
        return rank_by_variability(counts, size_factors)[:n_genes]
    import scanpy as sc

    logged = AnnData(log_normalized(counts, size_factors), obs=pd.DataFrame({"batch": batches}), uns={"log1p": {}})
    genes = sc.pp.highly_variable_genes(logged, n_top_genes=n_genes, batch_key="batch", inplace=False)
    assert genes is not None  # as with inplace=False
    return np.flatnonzero(genes["highly_variable"])


def rank_by_variability(counts: sparse.csr_matrix, size_factors: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return all genes, the most variable first.

    Variability is the normalised dispersion that scanpy uses by default; of ties, the first gene
    comes first. The ranking is the same for any number of genes to select.
    """
    import scanpy as sc

    logged = AnnData(log_normalized(counts, size_factors), uns={"log1p": {}})
    genes = sc.pp.highly_variable_genes(logged, inplace=False)
    assert genes is not None  # as with inplace=False
    dispersion = genes["dispersions_norm"].to_numpy()
    return np.argsort(np.where(np.isnan(dispersion), np.inf, -dispersion), kind="stable")
