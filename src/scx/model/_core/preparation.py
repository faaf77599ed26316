"""From any AnnData to the input of a model: its genes by name, and size factors."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx._anndata import as_names, check_column, check_layer
from scx._checks import check_key, warn

from .source import CellSource

N_NAMED = 5
"""Genes that a message names."""
BATCH = "_scx_batch"
"""Column of ``obs`` that a model registers: the batch of each cell, as text."""
MAX_MISSING = 0.2
"""Largest share of the genes of a model that are filled as those of the average cell."""


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
    size_factor_shares: NDArray[np.float64] | None = None
    """Share of the counts of the cells of training that each of these genes has."""
    batch_key: str | None = None
    """Column of ``obs`` with the batch of each cell; None for no batches."""
    batches: NDArray[np.str_] | None = None
    """Names of the batches of training, in the order of their numbers."""

    @property
    def n_batches(self) -> int:
        """Number of the batches of training; 0 for no batches."""
        return 0 if self.batches is None else len(self.batches)

    def source(
        self,
        adata: AnnData,
        gene_key: str | None = None,
        *,
        average: NDArray[np.float32] | None = None,
        are_counts: bool = True,
    ) -> CellSource:
        """Return the cells of `adata` as a model reads them.

        Raise unless it has the genes and the size factors. Size factors that are summed, and lack
        genes, are divided by the share of the counts that the other genes had in training.

        Parameters
        ----------
        adata
            Cells × genes.
        gene_key
            Column of ``var`` with the names of the genes; None for ``var_names``.
        average
            Values of the average cell for each gene of the model, for counts divided by its size
            factor, shape (n_genes,): missing genes get them, up to a share of `MAX_MISSING`. None
            raises if genes are missing.
        are_counts
            As in :class:`~scx.model._core.source.CellSource`.
        """
        check_layer(adata, self.layer)
        found, where = gene_names(adata, gene_key)
        columns = gene_columns(found, self.genes, where, max_missing=0 if average is None else MAX_MISSING)
        key, names = self.size_factor_key, self.size_factor_genes
        from_column = summed = None
        share = 1.0
        if key is not None and (key in adata.obs or names is None):
            from_column = size_factors(adata, key)
        elif names is not None:
            summed = np.asarray(found.isin(names))
            share = self._share_of(found, where)
        elif average is not None and columns is not None:
            share = 1 - float(average[columns < 0].sum())
        return CellSource(
            adata,
            columns,
            layer=self.layer,
            size_factors=from_column,
            size_factor_columns=summed,
            size_factor_share=share,
            average=average,
            are_counts=are_counts,
            batch_codes=self.batch_codes(adata),
        )

    def batch_codes(self, adata: AnnData) -> NDArray[np.int64] | None:
        """Return the number of the batch of each cell, −1 for batches that were not in training.

        None if the model or `adata` has no batches. Names are compared as text.
        """
        names = self._batch_names(adata)
        if names is None or self.batches is None:
            return None
        numbers = pd.Index(self.batches).get_indexer(names.categories)
        codes: NDArray[np.int64] = np.append(numbers, -1)[names.codes].astype(np.int64)
        return codes

    def _batch_names(self, adata: AnnData) -> "pd.Categorical[Any] | None":
        """Return the batch of each cell as text; None if the model or `adata` has no batches."""
        if self.batch_key is None or self.batch_key not in adata.obs:
            return None
        return as_names(check_column(adata, "batch_key", self.batch_key))

    def _share_of(self, found: pd.Index, where: str) -> float:
        """Return the share that genes of these names had in the size factors of training."""
        assert self.size_factor_genes is not None
        assert self.size_factor_shares is not None
        is_there = pd.Index(self.size_factor_genes).isin(found)
        if is_there.all():
            return 1.0
        share = float(self.size_factor_shares[is_there].sum())
        warn(
            f"{(~is_there).sum()} of the {len(is_there)} genes whose counts are the size factors of cells are not in "
            f"{where}. They had {1 - share:.1%} of the counts in training: size factors are corrected by this share. "
            "It may differ in new cells; better pass an AnnData with all genes of the training data."
        )
        return share

    def apply(self, adata: AnnData, *, average: NDArray[np.float32] | None = None, are_counts: bool = True) -> AnnData:
        """Return the genes of the model, and the columns of size factors and of named batches.

        It is `adata` itself if that has all of them. `average` and `are_counts` are as in
        :meth:`source`; if genes are filled, the result has nothing but counts and ``obs``.
        """
        key = self.size_factor_key
        has_factors = key is None or key in adata.obs
        batches = self._batch_names(adata)
        has_batches = batches is None or (BATCH in adata.obs and batches.equals(adata.obs[BATCH].array))
        found, where = gene_names(adata, None)
        columns = gene_columns(found, self.genes, where, max_missing=0 if average is None else MAX_MISSING)
        if columns is None and has_factors and has_batches:
            return adata
        source = self.source(adata, average=average, are_counts=are_counts)
        blocks = list(source.batches()) if len(source.missing) or not has_factors else []
        if len(source.missing):
            counts = sparse.vstack([sparse.csr_matrix(block.x.numpy()) for block in blocks])
            prepared = AnnData(obs=cast("pd.DataFrame", adata.obs).copy(), var=pd.DataFrame(index=pd.Index(self.genes)))
            if self.layer is None:
                prepared.X = counts
            else:
                prepared.layers[self.layer] = counts
        else:
            part = adata if columns is None else adata[:, columns]
            prepared = part.to_memory() if adata.isbacked else part.copy()
        if not has_factors:
            prepared.obs[key] = np.concatenate([block.size_factor.numpy()[:, 0] for block in blocks]).astype(np.float64)
        if batches is not None:
            prepared.obs[BATCH] = batches
        return prepared


def gene_names(adata: AnnData, gene_key: str | None) -> tuple[pd.Index, str]:
    """Return the names of genes, and where they are, for messages.

    They are in the column `gene_key` of ``var``, or in ``var_names`` if it is None.
    """
    if gene_key is None:
        return adata.var_names, "`adata.var_names`"
    check_key("gene_key", gene_key, "var", adata.var)
    return pd.Index(adata.var[gene_key].astype(str)), f"`adata.var[{gene_key!r}]` (`gene_key`)"


def gene_columns(
    found: pd.Index, genes: NDArray[np.str_], where: str, *, max_missing: float = 0
) -> NDArray[np.int64] | None:
    """Return the column of each gene, −1 if it is missing; None if the columns are the genes.

    Raise if a gene is there more than once, or more than a share of `max_missing` are missing.

    Parameters
    ----------
    found
        Names of the columns.
    genes
        Names of the genes.
    where
        Where the names of the columns are, for messages.
    max_missing
        Largest share of the genes that may be missing.
    """
    wanted = pd.Index(genes)
    if wanted.equals(found):
        return None
    if wanted.has_duplicates:
        names = _listed(wanted[wanted.duplicated()].unique())
        msg = (
            f"The model was trained on genes with the same name ({names}), so it only takes an AnnData with exactly "
            "the same `var_names`. Call `adata.var_names_make_unique()` before training."
        )
        raise ValueError(msg)
    missing = wanted[~wanted.isin(found)]
    if len(missing) > max_missing * len(wanted):
        msg = f"{len(missing)} of the {len(wanted)} genes of the model are not in {where}: {_listed(missing)}. "
        if max_missing:
            msg += f"At most {max_missing:.0%} can be filled as in the average cell. "
        if len(missing) == len(wanted):
            msg += f"These are names such as {_listed(found)}: use names of the same kind as in training."
        else:
            msg += "Use the names of training, or train on the genes that all data have (`mask_var`)."
        raise ValueError(msg)
    places = np.flatnonzero(found.isin(wanted))
    held = found[places]
    if held.has_duplicates:
        names = _listed(held[held.duplicated()].unique())
        msg = f"Genes of the model are in {where} more than once: {names}. Keep one column of each."
        raise ValueError(msg)
    order = held.get_indexer(wanted)
    return np.where(order < 0, -1, places[order])


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
