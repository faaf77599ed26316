"""The only place that writes to the user's AnnData, after everything else succeeded."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx import __version__
from scx._clustering.types import Partition
from scx._workflow.keys import Field, Keys


def write(
    adata: AnnData,
    keys: Keys,
    *,
    partition: Partition,
    record: Mapping[str, Any],
    embedding: NDArray[np.float32] | None = None,
    snapshots: Mapping[int, tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None,
) -> None:
    """Write clusters, what else is known of the cells, and the record of the run; stale fields of an earlier run are deleted.

    Stale are those that the earlier record lists as written and this run does not write, but for the embedding.

    Parameters
    ----------
    adata
        Changed in place.
    keys
        Names to write under.
    clustering
        Clusters of the cells.
    record
        What ``uns`` shall hold, beside what the clustering tells and the version; entries that are None are left out.
    embedding
        Shape (n_cells, n_latent); None where there is none to write.
    snapshots
        Embedding, shape (n_cells, n_latent), and cluster of each cell, shape (n_cells,), after epochs of training; None where
        none were taken.
    """
    names = partition.names or [str(label) for label in range(partition.n_clusters)]
    fields: dict[Field, Any] = {("obs", keys.clusters): _categorical(partition.labels, names)}
    about = dict(partition.info)
    if partition.confidence is not None:
        fields["obs", keys.confidence] = partition.confidence
    if partition.agreement is not None:
        fields["obs", keys.agreement] = partition.agreement
    if (prediction := partition.prediction) is not None:
        fields["obs", keys.prediction] = _categorical(prediction.proba.argmax(axis=1), prediction.types)
        fields["obsm", keys.proba] = prediction.proba
        about |= {"types": prediction.types, **prediction.info}
    if embedding is not None:
        fields["obsm", keys.embedding] = embedding
    if snapshots:
        embeddings, labels = zip(*snapshots.values(), strict=True)
        fields["obsm", keys.snapshot_embeddings] = np.stack(embeddings, axis=1)
        fields["obsm", keys.snapshot_clusters] = np.stack(labels, axis=1).astype(np.int32)
        about["snapshots"] = list(snapshots)
    earlier = {field for field in keys.recorded(adata.uns) if field[1] in getattr(adata, field[0])}
    # An embedding is worth keeping where only its clusters are found anew.
    kept = earlier & {("obsm", keys.embedding)}
    stale = earlier - kept - fields.keys()
    listed = {
        where: [name for at, name in (*fields, *(kept - fields.keys())) if at == where] for where in ("obs", "obsm")
    }
    about["fields"] = {where: written for where, written in listed.items() if written}
    fields["uns", keys.uns] = plain({**record, **about, "scx_version": __version__})
    _set(adata, fields, stale - {("uns", keys.uns)})


def _set(adata: AnnData, fields: Mapping[Field, Any], stale: Collection[Field]) -> None:
    """Set fields and delete stale ones: all of it, or nothing if any of it fails."""
    assert isinstance(adata.obs, pd.DataFrame)
    obs, obsm, uns = adata.obs.copy(deep=False), dict(adata.obsm), dict(adata.uns)
    try:
        for (where, name), values in fields.items():
            getattr(adata, where)[name] = values
        for where, name in stale:
            del getattr(adata, where)[name]
    except BaseException:
        adata.obs, adata.obsm = obs, obsm
        adata.uns.clear()
        adata.uns.update(uns)
        raise


def _categorical(codes: NDArray[np.integer], names: Sequence[str]) -> "pd.Categorical[Any]":
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def plain(value: Any) -> Any:
    """Turn nested settings into what h5ad and zarr store: dicts of numbers, text, and arrays of these; no None.

    Other objects, such as callbacks, become their text.
    """
    if isinstance(value, Mapping):
        return {_text(name).replace("/", "|"): plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biufU" else plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        entries = [plain(entry) for entry in value]
        if all(isinstance(entry, bool | int | float) for entry in entries):
            return np.asarray(entries)
        return np.asarray([_text(entry) for entry in entries], dtype=str)
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _text(value)


def _text(value: Any) -> str:
    """Return text that can be stored: no half of a surrogate pair, no NUL."""
    return str(value).encode(errors="backslashreplace").decode().replace("\0", "\\0")
