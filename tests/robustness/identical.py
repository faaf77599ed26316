"""Is an AnnData what it was, byte by byte?"""

import pickle
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

SLOTS = ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw")

type Frozen = dict[str, Any]


def frozen(adata: ad.AnnData) -> Frozen:
    """Return all that an AnnData holds, shared with nobody: for every array its type, dtype, shape and bytes, by its path.

    Paths read like ``obs['louvain'].codes``; the entries of every mapping and the columns of every table are listed in order.
    """
    about = {"is_view": adata.is_view, "isbacked": adata.isbacked, "shape": adata.shape}
    return about | {path: leaf for slot in SLOTS for path, leaf in _leaves(slot, getattr(adata, slot))}


def assert_identical(adata: ad.AnnData, before: Frozen, *, ignore: Collection[tuple[str, str]] = ()) -> None:
    """Raise unless `adata` is what it was when it was :func:`frozen`.

    Parameters
    ----------
    adata
        What to look at.
    before
        What it was.
    ignore
        Fields that may have come, gone or changed, such as ``("obs", "contrastive")``; ``Keys(key_added).everything`` are those
        of a call.
    """
    now, then = (_without(state, ignore) for state in (frozen(adata), before))
    gone, new = sorted(then.keys() - now.keys()), sorted(now.keys() - then.keys())
    changed = [path for path in then if path in now and now[path] != then[path]]
    differences = {"gone": gone, "new": new, "changed": changed}
    assert not any(differences.values()), {kind: paths for kind, paths in differences.items() if paths}


def _without(state: Frozen, ignore: Collection[tuple[str, str]]) -> Frozen:
    ignored = {f"{where}[{name!r}]" for where, name in ignore}
    kept = {path: leaf for path, leaf in state.items() if not any(path.startswith(field) for field in ignored)}
    for where in {where for where, _ in ignore}:
        listed = f"{where}.names"
        if listed in kept:
            kept[listed] = tuple(name for name in kept[listed] if (where, name) not in ignore)
    return kept


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and comparable value of everything below `value`."""
    match value:
        case ad.AnnData() | ad.Raw():
            yield path, type(value).__name__
            for slot in ("X", "var", "varm") if isinstance(value, ad.Raw) else SLOTS:
                yield from _leaves(f"{path}.{slot}", getattr(value, slot))
        case pd.DataFrame():
            yield path, type(value).__name__
            yield f"{path}.attrs", pickle.dumps(value.attrs)
            yield f"{path}.names", tuple(value.columns)
            yield f"{path}.columns", (type(value.columns).__name__, str(value.columns.dtype), value.columns.name)
            yield from _leaves(f"{path}.index", value.index)
            for position, name in enumerate(value.columns):
                yield from _leaves(f"{path}[{name!r}]", value.iloc[:, position].array)
        case pd.Series():
            yield path, (type(value).__name__, value.name)
            yield from _leaves(f"{path}.index", value.index)
            yield from _leaves(f"{path}.array", value.array)
        case pd.Index():
            yield path, (type(value).__name__, str(value.dtype), value.name)
            yield from _leaves(f"{path}.array", value.array)
        case pd.Categorical():
            yield path, ("Categorical", value.ordered)
            yield from _leaves(f"{path}.categories", value.categories)
            yield from _leaves(f"{path}.codes", value.codes)
        case pd.api.extensions.ExtensionArray():
            yield path, (type(value).__name__, str(value.dtype))
            yield f"{path}.isna", value.isna().tobytes()
            yield from _leaves(f"{path}.values", value.to_numpy(dtype=object, na_value=None))
        case np.ndarray() if value.dtype.hasobject:
            elements = [value[name] for name in value.dtype.names] if value.dtype.names else [value]
            yield path, (type(value).__name__, str(value.dtype), value.shape)
            yield (
                f"{path}.values",
                [[(type(entry).__name__, repr(entry)) for entry in part.ravel()] for part in elements],
            )
        case np.ndarray():
            yield path, (type(value).__name__, str(value.dtype), value.shape, value.tobytes())
        case _ if sparse.issparse(value):
            yield path, (type(value).__name__, value.shape)
            for part in ("data", "indices", "indptr", "row", "col"):
                if hasattr(value, part):
                    yield from _leaves(f"{path}.{part}", np.asarray(getattr(value, part)))
        case h5py.Dataset():
            yield path, (type(value).__name__, value.chunks)
            yield from _leaves(f"{path}.values", value[()])
        case Mapping():  # obsm, layers, uns and what is nested in them
            entries = dict(value)
            yield path, type(value).__name__
            yield f"{path}.names", tuple(entries)
            for name, entry in entries.items():
                yield from _leaves(f"{path}[{name!r}]", entry)
        case list() | tuple():
            yield path, (type(value).__name__, len(value))
            for position, entry in enumerate(value):
                yield from _leaves(f"{path}[{position}]", entry)
        case _ if hasattr(value, "to_memory"):  # sparse matrix or table on disk
            yield path, type(value).__name__
            yield from _leaves(f"{path}.values", value.to_memory())
        case _ if hasattr(value, "compute"):  # dask
            yield path, (type(value).__name__, value.chunks)
            yield from _leaves(f"{path}.values", value.compute())
        case _:
            yield path, (type(value).__name__, _dumped(value))


def _dumped(value: Any) -> Any:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  # whatever cannot be pickled is itself only as the same object
        return id(value)
