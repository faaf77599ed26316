"""Checks of a user's AnnData: fail before anything is trained or written, and say what to do next."""

import difflib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx._checks import check_key

MIN_CELLS = 10
"""Fewer cells than this are no sample that a network can be trained on."""


MIN_GENES = 5
"""Fewer genes than this leave nothing to embed."""


UNLABELED = "Unknown"
"""What unlabelled cells are called where a call does not say it."""


SIMILAR = 0.85
"""Similarity of two names from which on one is taken for a slip of the other."""


def matrix_name(layer: str | None) -> str:
    """Return what a message calls the matrix of counts."""
    return "`adata.X`" if layer is None else f"`adata.layers[{layer!r}]`"


def check_anndata(adata: Any, *, min_obs: int = MIN_CELLS, min_vars: int = MIN_GENES) -> None:
    """Raise unless `adata` is an AnnData with at least `min_obs` cells and `min_vars` genes."""
    if isinstance(modalities := getattr(adata, "mod", None), Mapping):
        names = ", ".join(f"mdata[{name!r}]" for name in modalities)
        msg = f'`adata` must be an AnnData, got a {type(adata).__name__}. Pass the modality with RNA, such as `mdata["rna"]`; there are {names}.'
        raise TypeError(msg)
    if not isinstance(adata, AnnData):
        msg = f"`adata` must be an AnnData, got an object of type {type(adata).__name__}."
        raise TypeError(msg)
    if adata.n_obs < min_obs:
        msg = f"`adata` has {adata.n_obs} cells; training needs at least {min_obs}."
        raise ValueError(msg)
    if adata.n_vars < min_vars:
        msg = f"`adata` has {adata.n_vars} genes; training needs at least {min_vars}."
        raise ValueError(msg)


def check_storage(adata: AnnData, layer: str | None, *, copy: bool, counts: bool = True) -> None:
    """Raise if results cannot be written to `adata`, or its counts are computed or read only when they are asked for."""
    if adata.isbacked and adata.is_view and not copy:
        msg = (
            "`adata` is a view of an AnnData on disk, which results cannot be written to. Pass `copy=True`, or read it first with "
            "`adata = adata.to_memory()`; `adata = adata.copy(filename)` makes a file of it."
        )
        raise ValueError(msg)
    for where in ("obs", "var"):
        check_in_memory(where, getattr(adata, where))
    if counts:
        check_in_memory(
            "X" if layer is None else f"layers[{layer!r}]", adata.X if layer is None else adata.layers[layer]
        )


def check_in_memory(where: str, values: Any) -> None:
    """Raise if `values`, held by ``adata`` at `where`, are computed or read only when they are asked for."""
    is_table = where in {"obs", "var"}
    if hasattr(values, "dask") or (is_table and not isinstance(values, pd.DataFrame)):
        msg = f"`adata.{where}` is lazy: it is not in memory. Read it first with `adata = adata.to_memory()`."
        raise ValueError(msg)


def check_embedding(adata: AnnData, use_rep: str) -> NDArray:
    """Return the embedding in ``adata.obsm[use_rep]``; raise unless it is there, numeric and finite."""
    check_key("use_rep", use_rep, "obsm", adata.obsm)
    embedding = np.asarray(adata.obsm[use_rep])
    if embedding.ndim != 2 or not np.issubdtype(embedding.dtype, np.number):
        msg = f"`adata.obsm[{use_rep!r}]` must be numbers, cells × dimensions; got shape {embedding.shape} of {embedding.dtype}."
        raise ValueError(msg)
    n_bad = embedding.size - int(np.isfinite(embedding).sum())
    if n_bad:
        msg = f"`adata.obsm[{use_rep!r}]` holds {n_bad} values that are NaN or infinite. Compute it anew, or pass another `use_rep`."
        raise ValueError(msg)
    return embedding if embedding.dtype in (np.float32, np.float64) else embedding.astype(np.float32)


def check_labels(adata: AnnData, key: str) -> NDArray[np.int64]:
    """Return the codes of the clusters in ``adata.obs[key]``; raise unless the column is there and every cell has one."""
    check_key("keys", key, "obs", adata.obs)
    codes = pd.factorize(adata.obs[key].to_numpy())[0]
    if (codes < 0).any():
        msg = f"{(codes < 0).sum()} of {adata.n_obs} cells have no cluster in `adata.obs[{key!r}]`. Leave those cells or that key out."
        raise ValueError(msg)
    return codes


def check_unlabeled(column: pd.Series, labels_key: str, unlabeled_category: str) -> None:
    """Raise if `unlabeled_category` is a slip for a value of the column; warn if it matches no cell, or no cell has a label."""
    labels = given_labels(column, unlabeled_category)
    if not len(labels.categories):
        warnings.warn(
            f"No cell has a label in `adata.obs[{labels_key!r}]`: all are empty, missing or {unlabeled_category!r}. "
            "Training goes on without labels.",
            UserWarning,
            stacklevel=2,
        )
    before = given_labels(column, "")
    is_used = len(before.categories) > len(labels.categories)
    if is_used or not unlabeled_category.strip():
        return
    names = {name.strip().casefold(): name for name in before.categories}
    meant = difflib.get_close_matches(unlabeled_category.strip().casefold(), names, n=1, cutoff=SIMILAR)
    if meant:
        msg = (
            f"`unlabeled_category={unlabeled_category!r}` matches no cell in `adata.obs[{labels_key!r}]`, which holds "
            f'{names[meant[0]]!r}. Pass that, or `unlabeled_category=""` if it is a type.'
        )
        raise ValueError(msg)
    if unlabeled_category != UNLABELED or not pd.isna(labels).any():
        warnings.warn(
            f"`unlabeled_category={unlabeled_category!r}` matches no cell in `adata.obs[{labels_key!r}]`; cells that are empty or "
            "missing there are unlabelled, all others have a label.",
            UserWarning,
            stacklevel=2,
        )


def given_labels(column: pd.Series, unlabeled_category: str) -> "pd.Categorical[Any]":
    """Return the types that a column gives, NaN for cells without one; whole numbers are read alike from every dtype."""
    values = column.astype(object).where(column.notna(), "")
    types = values.map(_type_name)
    unlabeled = (types.str.strip() == "") | (types == _type_name(unlabeled_category))
    return pd.Categorical(types.mask(unlabeled | (values.astype(str) == str(unlabeled_category))))


def _type_name(value: Any) -> str:
    """Return the name of a type: 1.0 and 1 are one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def check_layer(adata: AnnData, layer: str | None) -> None:
    """Raise unless `layer` names a layer, or is None and there is an ``X``."""
    layers = [name for name in adata.layers if name is not None]
    if layer is not None and layer not in layers:
        msg = f"Unknown `layer`: {layer!r}. `adata.layers` holds {layers}; None stands for `adata.X`."
        raise ValueError(msg)
    if layer is None and adata.X is None:
        msg = f"`adata.X` is empty: pass the `layer` that holds raw counts. `adata.layers` holds {layers}."
        raise ValueError(msg)


def check_column(adata: AnnData, parameter: str, key: str) -> pd.Series:
    """Return the column of ``obs`` that was passed as `parameter`; raise unless there is one such, of plain values."""
    check_in_memory("obs", adata.obs)
    check_key(parameter, key, "obs", adata.obs.columns)
    column = adata.obs[key]
    if isinstance(column, pd.DataFrame):
        msg = (
            f"`{parameter}={key!r}` is ambiguous: `adata.obs` has {column.shape[1]} columns of this name. Rename them."
        )
        raise ValueError(msg)
    check_categories(parameter, key, f"adata.obs[{key!r}]", column)
    return column


def check_categories(parameter: str, key: str, where: str, column: pd.Series) -> None:
    """Raise unless cells or rows can be grouped by the `column` that is stored at `where` and was passed as `parameter`."""
    try:
        values: Iterable[Any] = pd.factorize(column)[1]
    except TypeError:  # lists, for example
        values = [()]
    if any(isinstance(value, tuple) for value in values):  # pandas takes tuples for several columns
        msg = f"`{parameter}={key!r}`: the values of `{where}` are no categories. Turn them into strings."
        raise ValueError(msg)


def check_representation(adata: AnnData, parameter: str, key: str) -> NDArray:
    """Return the embedding in ``obsm`` that was passed as `parameter`; raise unless it is there, numeric and finite."""
    check_key(parameter, key, "obsm", adata.obsm)
    try:
        embedding = check_embedding(adata, key)
    except ValueError as error:
        msg = f"`{parameter}={key!r}` cannot be used. {error}"
        raise ValueError(msg) from None
    if not embedding.shape[1]:
        msg = f"`{parameter}={key!r}` cannot be used: `adata.obsm[{key!r}]` has no dimensions. Pass another one."
        raise ValueError(msg)
    return embedding


def check_share(adata: AnnData, parameter: str, key: str) -> NDArray[np.float64]:
    """Return a column of ``obs`` that belongs to the `parameter`; raise unless it holds numbers in [0, 1], NaN among them."""
    column = check_column(adata, parameter, key)
    values = column.to_numpy(dtype=float, na_value=np.nan) if pd.api.types.is_numeric_dtype(column) else np.array([2.0])
    known = values[~np.isnan(values)]
    if not known.size or known.min() < 0 or known.max() > 1:
        msg = f"`{parameter}`: `adata.obs[{key!r}]` must hold numbers from 0 to 1. Compute it anew, or delete it."
        raise ValueError(msg)
    return values


def check_some_cells(adata: AnnData, n: int = 1) -> None:
    """Raise unless `adata` has at least `n` cells."""
    if adata.n_obs < n:
        msg = f"`adata` has {adata.n_obs} cells; at least {n} are needed."
        raise ValueError(msg)


def check_not_empty(parameter: str, value: Any) -> None:
    """Raise if what was passed as `parameter` lists nothing: cells, rows, names."""
    if isinstance(value, AnnData):
        check_some_cells(value)
    elif isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) == 0:
        msg = f"`{parameter}` is empty. Give at least one entry."
        raise ValueError(msg)
