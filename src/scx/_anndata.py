"""Checks of a user's AnnData. They fail before training and writing, and say what to do next."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx._checks import check_key, warn

MIN_CELLS = 10
"""Least number of cells to train a network on."""

MIN_GENES = 5
"""Least number of genes to train a network on."""

UNLABELED = "Unknown"
"""Default entry that marks a cell as unlabelled."""

MIN_SIMILARITY = 0.85
"""Two names at least this similar (:func:`difflib.get_close_matches`) count as one, misspelt."""


def matrix_name(layer: str | None) -> str:
    """Return the name of the matrix of counts, for messages."""
    return "`adata.X`" if layer is None else f"`adata.layers[{layer!r}]`"


def check_anndata(adata: Any, *, min_obs: int = MIN_CELLS, min_vars: int = MIN_GENES) -> None:
    """Raise unless `adata` is an AnnData with at least `min_obs` cells and `min_vars` genes."""
    if isinstance(modalities := getattr(adata, "mod", None), Mapping):
        names = ", ".join(f"mdata[{name!r}]" for name in modalities)
        msg = f'`adata` must be an AnnData, got a {type(adata).__name__}. Pass the modality with RNA, such as `mdata["rna"]`; it has {names}.'
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
    """Raise if results cannot be written to `adata`, or if its tables or counts are lazy."""
    if adata.isbacked and adata.is_view and not copy:
        msg = (
            "`adata` is a view of an AnnData on disk; results cannot be written to it. Pass `copy=True`, or read it first with "
            "`adata = adata.to_memory()`; `adata = adata.copy(filename)` writes it to a new file."
        )
        raise ValueError(msg)
    for where in ("obs", "var"):
        check_in_memory(where, getattr(adata, where))
    if counts:
        check_in_memory(
            "X" if layer is None else f"layers[{layer!r}]", adata.X if layer is None else adata.layers[layer]
        )


def check_in_memory(where: str, values: Any) -> None:
    """Raise if `values`, stored in ``adata`` at `where`, are lazy: read only when they are used."""
    is_table = where in {"obs", "var"}
    if hasattr(values, "dask") or (is_table and not isinstance(values, pd.DataFrame)):
        msg = f"`adata.{where}` is lazy: it is not in memory. Read it first with `adata = adata.to_memory()`."
        raise ValueError(msg)


def check_embedding(adata: AnnData, use_rep: str) -> NDArray[np.floating]:
    """Return the embedding in ``adata.obsm[use_rep]``; raise unless it is numeric and finite."""
    check_key("use_rep", use_rep, "obsm", adata.obsm)
    embedding = np.asarray(adata.obsm[use_rep])
    if embedding.ndim != 2 or not np.issubdtype(embedding.dtype, np.number):
        msg = f"`adata.obsm[{use_rep!r}]` must hold numbers, cells × dimensions; got shape {embedding.shape} of {embedding.dtype}."
        raise ValueError(msg)
    n_bad = embedding.size - int(np.isfinite(embedding).sum())
    if n_bad:
        msg = f"`adata.obsm[{use_rep!r}]` holds {n_bad} values that are NaN or infinite. Compute it again, or pass another `use_rep`."
        raise ValueError(msg)
    return embedding if embedding.dtype in (np.float32, np.float64) else embedding.astype(np.float32)


def check_labels(adata: AnnData, key: str) -> NDArray[np.int64]:
    """Return the codes of the clusters in ``adata.obs[key]``; raise unless every cell has one."""
    codes = pd.factorize(check_column(adata, "keys", key).to_numpy())[0]
    if (codes < 0).any():
        msg = f"{(codes < 0).sum()} of {adata.n_obs} cells have no cluster in `adata.obs[{key!r}]`. Remove these cells, or leave this column out of `keys`."
        raise ValueError(msg)
    return codes


def check_unlabeled(column: pd.Series, labels_key: str, unlabeled_category: str) -> None:
    """Raise if `unlabeled_category` is a misspelt value of the column.

    Warn if no cell has this entry, or if no cell has a label.
    """
    labels = parse_labels(column, unlabeled_category)
    if not len(labels.categories):
        warn(
            f"No cell has a label in `adata.obs[{labels_key!r}]`: all are empty, missing or {unlabeled_category!r}. "
            "Training continues without labels.",
        )
    entries = parse_labels(column, "")
    is_used = len(entries.categories) > len(labels.categories)
    if is_used or not unlabeled_category.strip():
        return
    names = {name.strip().casefold(): name for name in entries.categories}
    similar = difflib.get_close_matches(unlabeled_category.strip().casefold(), names, n=1, cutoff=MIN_SIMILARITY)
    if similar:
        msg = (
            f"`unlabeled_category={unlabeled_category!r}` matches no cell in `adata.obs[{labels_key!r}]`, which holds "
            f'{names[similar[0]]!r}. Pass that name, or `unlabeled_category=""` if it is a type.'
        )
        raise ValueError(msg)
    if unlabeled_category != UNLABELED or not pd.isna(labels).any():
        warn(
            f"`unlabeled_category={unlabeled_category!r}` matches no cell in `adata.obs[{labels_key!r}]`. Cells with an empty or "
            "missing entry are unlabelled; all others have a label.",
        )


def parse_labels(column: pd.Series, unlabeled_category: str) -> "pd.Categorical[Any]":
    """Return the type of each cell as text, NaN for unlabelled cells; 1 and 1.0 are one type."""
    values = column.astype(object).where(column.notna(), "")
    types = values.map(_type_name)
    unlabeled = (types.str.strip() == "") | (types == _type_name(unlabeled_category))
    return pd.Categorical(types.mask(unlabeled | (values.astype(str) == str(unlabeled_category))))


def as_names(column: pd.Series) -> "pd.Categorical[Any]":
    """Return each entry of a column as text, NaN if it is missing or empty.

    1, 1.0 and "1" have one name. Categories that no cell has are left out.
    """
    codes, values = pd.factorize(column)
    names = [_type_name(value) for value in values]
    known = [name if name.strip() else np.nan for name in names]
    return pd.Categorical(np.array([*known, np.nan], dtype=object)[codes])


def check_batches(adata: AnnData, batch_key: str) -> "pd.Series[Any]":
    """Return the batch of each cell as categories of text, in a Series with the name `batch_key`.

    Raise unless every cell has a batch, and there are several of some size.
    """
    names = as_names(check_column(adata, "batch_key", batch_key))
    where = f"`batch_key`: `adata.obs[{batch_key!r}]`"
    n_missing, n_batches = int(pd.isna(names).sum()), len(names.categories)
    if n_missing:
        msg = f"{where} names no batch for {n_missing} of {adata.n_obs} cells. Fill in their batch, or leave these cells out."
        raise ValueError(msg)
    if n_batches < 2:
        msg = f"{where} holds one batch for all cells, {names.categories[0]!r}. Leave out `batch_key`, or pass a column with several."
        raise ValueError(msg)
    if n_batches * MIN_CELLS > adata.n_obs:
        msg = (
            f"{where} holds {n_batches} batches for {adata.n_obs} cells; there must be {MIN_CELLS} cells per batch on "
            "average. Pass a column that names samples, donors or protocols."
        )
        raise ValueError(msg)
    return pd.Series(names, index=adata.obs_names, name=batch_key)


def _type_name(value: Any) -> str:
    """Return the name of a type; the same for 1 and 1.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers; some versions of anndata also list ``X`` there, as None."""
    return [name for name in list(adata.layers) if name is not None]


def check_layer(adata: AnnData, layer: str | None) -> None:
    """Raise unless `layer` is the name of a layer, or None if ``X`` is not empty."""
    layers = layer_names(adata)
    if layer is not None and layer not in layers:
        msg = f"Unknown `layer`: {layer!r}. `adata.layers` holds {layers}; None stands for `adata.X`."
        raise ValueError(msg)
    if layer is None and adata.X is None:
        msg = f"`adata.X` is empty: pass the `layer` that holds raw counts. `adata.layers` holds {layers}."
        raise ValueError(msg)


def check_column(adata: AnnData, parameter: str, key: str) -> pd.Series:
    """Return the column ``obs[key]``, passed as `parameter`; raise unless it has plain values."""
    check_in_memory("obs", adata.obs)
    obs = cast("pd.DataFrame", adata.obs)
    check_key(parameter, key, "obs", obs.columns)
    column: pd.Series | pd.DataFrame = obs[key]  # a table if several columns have this name
    if isinstance(column, pd.DataFrame):
        msg = f"`{parameter}={key!r}` is ambiguous: `adata.obs` has {column.shape[1]} columns with this name. Rename them."
        raise ValueError(msg)
    check_categories(parameter, key, f"adata.obs[{key!r}]", column)
    return column


def check_categories(parameter: str, key: str, where: str, column: pd.Series) -> None:
    """Raise unless rows can be grouped by `column`, passed as `parameter` and stored at `where`."""
    try:
        values: Iterable[Any] = pd.factorize(column)[1]
    except TypeError:  # lists, for example
        values = [()]
    if any(isinstance(value, tuple) for value in values):  # pandas reads a tuple as several columns
        msg = f"`{parameter}={key!r}`: the values of `{where}` cannot be categories. Turn them into strings."
        raise ValueError(msg)


def check_representation(adata: AnnData, parameter: str, key: str) -> NDArray[np.floating]:
    """Return ``obsm[key]``, passed as `parameter`; raise unless it is a finite embedding."""
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
    """Return a column of ``obs``, found by `parameter`; raise unless it is NaN or in [0, 1]."""
    column = check_column(adata, parameter, key)
    values = column.to_numpy(dtype=float, na_value=np.nan) if pd.api.types.is_numeric_dtype(column) else np.array([2.0])
    known = values[~np.isnan(values)]
    if not known.size or known.min() < 0 or known.max() > 1:
        msg = f"`{parameter}`: `adata.obs[{key!r}]` must hold numbers from 0 to 1. Compute it again, or delete it."
        raise ValueError(msg)
    return values


def check_some_cells(adata: AnnData, n: int = 1) -> None:
    """Raise unless `adata` has at least `n` cells."""
    if adata.n_obs < n:
        msg = f"`adata` has {adata.n_obs} cells; at least {n} are needed."
        raise ValueError(msg)


def check_not_empty(parameter: str, value: Any) -> None:
    """Raise if `value`, passed as `parameter`, has no entries: no cells, rows or names."""
    if isinstance(value, AnnData):
        check_some_cells(value)
    elif isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) == 0:
        msg = f"`{parameter}` is empty. Pass at least one entry."
        raise ValueError(msg)
