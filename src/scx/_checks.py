"""Checks of what a user passes in: fail before anything is trained or written, and say what to do next."""

import difflib
import reprlib
import warnings
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ._keys import Field, Keys

MIN_CELLS = 10
"""Fewer cells than this are no sample that a network can be trained on."""
MAX_NAME_BYTES = 255
"""Longest name of a file, as which zarr keeps a field."""
MIN_GENES = 5
"""Fewer genes than this leave nothing to embed."""
UNLABELED = "Unknown"
"""What unlabelled cells are called where a call does not say it."""
SIMILAR = 0.85
"""Similarity of two names from which on one is taken for a slip of the other."""


def shown(value: Any) -> str:
    """Return what a message shows of a value: no more than a line."""
    return (
        reprlib.repr(value)
        if isinstance(value, str | bytes | Real | list | tuple | set | dict | None)
        else f"an object of type {type(value).__name__}"
    )


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


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise unless `value` is one of the named `choices`."""
    listed = ", ".join(map(repr, choices))
    if not isinstance(value, str):
        msg = f"`{name}` must be one of {listed}, got {shown(value)}."
        raise TypeError(msg)
    if value not in choices:
        msg = f"Unknown `{name}`: {value!r}. Choose one of {listed}."
        raise ValueError(msg)


def check_positive_int(name: str, value: Any, *, minimum: int = 1, maximum: int | None = None, why: str = "") -> None:
    """Raise unless `value` is a whole number in [`minimum`, `maximum`]; `why` is appended to the message."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        msg = f"`{name}` must be a whole number, got {value!r}."
        raise TypeError(msg)
    if int(value) < minimum or (maximum is not None and int(value) > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        msg = f"`{name}` must be {bounds}{why}, got {value}."
        raise ValueError(msg)


def check_epochs(name: str, epochs: Any, max_epochs: int) -> None:
    """Raise unless `epochs` lists epochs of a training of `max_epochs`, counted from 1, or 0 for the moment before it."""
    if isinstance(epochs, str | Mapping) or not isinstance(epochs, Iterable):
        msg = f"`{name}` must list epochs, such as [1, 5, 20]; got {epochs!r}."
        raise TypeError(msg)
    for epoch in epochs:
        check_positive_int(name, epoch, minimum=0, maximum=max_epochs, why=" (the number of epochs)")


def check_n_clusters(n_clusters: Any, n_obs: int, n_types: int = 0) -> None:
    """Raise unless `n_clusters` is None or a number of clusters that `n_obs` cells of at least `n_types` types can form."""
    if n_clusters is not None:
        check_positive_int("n_clusters", n_clusters, minimum=2, maximum=n_obs, why=" (the number of cells)")
        if n_clusters < n_types:
            msg = (
                f"The labels name {n_types} types, more than `n_clusters={n_clusters}`. Pass a larger number, or None."
            )
            raise ValueError(msg)


def check_resolution(resolution: float | None, n_clusters: int | None, name: str, algorithm: str) -> None:
    """Raise if a `resolution` is given where it is not used; `name` is the argument that names the `algorithm`."""
    if resolution is None:
        return
    if algorithm != "leiden":
        msg = f'`resolution` is for Leiden: pass `{name}="leiden"`, or leave it out; `{name}` is {algorithm!r}.'
        raise ValueError(msg)
    if n_clusters is not None:
        msg = "Pass either `n_clusters` or `resolution`: for a number of clusters, the resolution is searched."
        raise ValueError(msg)


def check_key(parameter: str, key: Any, where: str, held: Iterable[Any]) -> None:
    """Raise unless `held`, the entries of ``adata.{where}``, has the `key` that was passed as `parameter`."""
    held = list(held)
    if key not in held:
        msg = f"Unknown `{parameter}`: {key!r}. `adata.{where}` holds {', '.join(map(repr, held)) or 'nothing'}."
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


def check_given_labels(
    adata: AnnData, labels_key: str | None, unlabeled_category: str, keys: Keys
) -> "pd.Categorical[Any] | None":
    """Return the types that ``adata.obs[labels_key]`` gives; None without a key, or where every cell is unlabelled.

    Unlabelled are cells with NaN, an empty string or `unlabeled_category`; types of no cell are left out.
    """
    if labels_key is None:
        return None
    check_key("labels_key", labels_key, "obs", adata.obs)
    if ("obs", labels_key) in keys.everything:
        msg = f"`key_added={keys.key_added!r}` would overwrite the labels in `adata.obs[{labels_key!r}]`. Pass another `key_added`."
        raise ValueError(msg)
    check_unlabeled(adata.obs[labels_key], labels_key, unlabeled_category)
    labels = given_labels(adata.obs[labels_key], unlabeled_category)
    return labels if len(labels.categories) else None


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


def check_several(name: str, values: Any) -> list[str]:
    """Return the distinct names that `values` lists; raise unless there are at least two."""
    names = list(dict.fromkeys([values] if isinstance(values, str) else values))
    if len(names) < 2:
        msg = f"`{name}` must list at least two different names, got {values!r}."
        raise ValueError(msg)
    return names


def check_mask(name: str, mask: Any, names: pd.Index, things: str) -> NDArray[np.bool_]:
    """Return a mask over genes or cells called `names`; raise unless it is one. A Series is aligned by its index.

    Parameters
    ----------
    name
        What holds the mask, for messages.
    mask
        One True or False for each of `names`.
    names
        Names of the genes or cells.
    things
        What they are, in the singular.
    """
    if isinstance(mask, pd.Series) and not mask.index.equals(names):
        index = mask.index
        unknown, missing = index[~index.isin(names)], names[~names.isin(index)]
        if len(unknown) or len(missing) or index.has_duplicates or names.has_duplicates:
            examples = [*unknown[:3].tolist(), *missing[:3].tolist()]
            msg = (
                f"{name} is a Series whose index must hold the name of each {things} once; {len(unknown)} of its names are unknown, "
                f"{len(missing)} are missing{f', such as {examples}' if examples else ''}. Pass an array to go by position."
            )
            raise ValueError(msg)
        mask = mask.reindex(names)
    values = mask.array if isinstance(mask, pd.Series) else mask
    if getattr(values, "dtype", None) == "boolean" and not pd.isna(values).any():
        values = values.astype(bool)
    values = np.array(values)
    if values.dtype != bool or values.shape != (len(names),):
        msg = (
            f"{name} must hold one True or False per {things}, {len(names)} in all; "
            f"got shape {values.shape} of {values.dtype}."
        )
        raise ValueError(msg)
    return values


def check_subset(subset: Any, names: pd.Index) -> NDArray[np.bool_]:
    """Return the mask over the cells called `names` that `subset` gives, all for None; raise unless it is one and keeps some."""
    if subset is None:
        return np.ones(len(names), dtype=bool)
    mask = check_mask("`subset`", subset, names, "cell")
    if not mask.any():
        msg = "`subset` keeps no cell. Pass a mask with at least one True, or None for all cells."
        raise ValueError(msg)
    return mask


def check_rng(rng: Any) -> None:
    """Raise unless `rng` is a seed or a generator of numpy."""
    if not isinstance(rng, np.random.Generator):
        try:
            check_positive_int("rng", rng, minimum=0)
        except TypeError:
            msg = f"`rng` must be a whole number or a numpy.random.Generator, got {rng!r}."
            raise TypeError(msg) from None


def check_arguments(name: str, passed: Any, allowed: Iterable[str]) -> None:
    """Raise if the keyword arguments `passed` on under `name`, or by themselves where it is empty, hold one not `allowed`."""
    if passed is not None and not isinstance(passed, Mapping):
        msg = f"`{name}` must be a dict of keyword arguments, got {type(passed).__name__}."
        raise TypeError(msg)
    allowed = sorted(allowed)
    unknown = [str(entry) for entry in passed or () if entry not in allowed]
    if unknown:
        msg = f"Unknown {f'entries of `{name}`' if name else 'arguments'}: {', '.join(unknown)}. Known are {', '.join(allowed)}."
        raise TypeError(msg)


def check_agreement(name: str, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Raise if the `options` passed under `name` say otherwise than arguments of the same name."""
    for argument, value in arguments.items():
        if argument in options and options[argument] != value:
            msg = f"`{argument}={value}` contradicts `{name}[{argument!r}]={options[argument]}`. Pass one of them."
            raise ValueError(msg)


def check_key_added(adata: AnnData, keys: Keys, written: Collection[Field]) -> None:
    """Raise if h5ad or zarr could not hold a name made from `key_added`, or a field to be `written` is there that scx did not write."""
    key: Any = keys.key_added
    if not isinstance(key, str):
        msg = f"`key_added` must be a string, got {key!r}."
        raise TypeError(msg)
    longest = max(len(name.encode(errors="replace")) for _, name in keys.everything)
    for is_wrong, what in (
        (not key.strip(), "must not be empty"),
        (key != key.strip(), "must not begin or end with a blank"),
        (not key.isprintable(), "must not hold line breaks, tabs or other characters that cannot be printed"),
        (bool(set(key) & set("/\\")), "must not hold a slash, which h5ad and zarr take for the end of a folder's name"),
        (key.startswith((".", "__")) or key in {"_index", "zarr.json"}, "is a name that h5ad or zarr use themselves"),
        (key == adata.obs.index.name, "is the name of the index of `adata.obs`"),
        (longest > MAX_NAME_BYTES, f"is too long: with what is appended it takes {longest} of {MAX_NAME_BYTES} bytes"),
    ):
        if is_wrong:
            msg = f'`key_added={key if len(key) < 50 else key[:50] + "…"!r}` {what}. Pass another `key_added`, such as "clusters".'
            raise ValueError(msg)
    own = keys.recorded(adata.uns)
    taken = [
        f"adata.{where}[{name!r}]"
        for where, name in written
        if (where, name) not in own and name in getattr(adata, where)
    ]
    if taken:
        msg = (
            f"`key_added={key!r}` would overwrite {', '.join(taken)}, which scx did not write under this name. "
            "Pass another `key_added`, or delete them first."
        )
        raise ValueError(msg)


def check_model_dir(model_dir: str | Path) -> Path:
    """Return the folder to save the model in, with ``~`` expanded; raise unless it can be made, which is tried."""
    shown = f"`model_dir={str(model_dir)!r}`"
    try:
        folder = Path(model_dir).expanduser().absolute()
        exists, has_parent = folder.exists(), folder.parent.is_dir()
        if has_parent and not exists:
            folder.mkdir()
            folder.rmdir()
    except (OSError, RuntimeError, ValueError) as error:  # no rights, no room, no such name; no such home
        msg = f"{shown} cannot be made: {error}. Pass a folder that you may write to."
        raise ValueError(msg) from error
    if exists:
        msg = f"{shown} exists already. Pass a folder that does not exist, or delete it first."
        raise ValueError(msg)
    if not has_parent:
        msg = f"{shown} is in a folder that does not exist. Make it with `pathlib.Path({str(folder.parent)!r}).mkdir(parents=True)`."
        raise ValueError(msg)
    return folder


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


def check_curve(where: str, values: Any) -> None:
    """Raise unless `values`, stored in ``adata`` at `where`, are numbers in one dimension."""
    curve = np.asarray(values)
    if curve.ndim != 1 or not curve.size or curve.dtype.kind not in "fiu":
        msg = f"`adata.{where}` must hold numbers in one dimension. The record was changed: run the method behind `key` again."
        raise ValueError(msg)


def check_not_empty(parameter: str, value: Any) -> None:
    """Raise if what was passed as `parameter` lists nothing: cells, rows, names."""
    if isinstance(value, AnnData):
        check_some_cells(value)
    elif isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) == 0:
        msg = f"`{parameter}` is empty. Give at least one entry."
        raise ValueError(msg)


def check_some_cells(adata: AnnData, n: int = 1) -> None:
    """Raise unless `adata` has at least `n` cells."""
    if adata.n_obs < n:
        msg = f"`adata` has {adata.n_obs} cells; at least {n} are needed."
        raise ValueError(msg)
