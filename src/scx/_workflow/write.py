"""Step 6: write results to the user's AnnData, after all other steps succeeded."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx import __version__
from scx._anndata import UNLABELED, layer_names
from scx._clustering.types import Partition
from scx._workflow.keys import PLACES, Field, Keys


@dataclass(frozen=True)
class NewCells:
    """How unlike the cells of training new cells are."""

    score: NDArray[np.float64]
    """Shape (n_cells,)."""
    p_value: NDArray[np.float32]
    """Shape (n_cells,)."""
    is_unknown: NDArray[np.bool_]
    """Cells that are called unknown, shape (n_cells,)."""


def write(
    adata: AnnData,
    keys: Keys,
    *,
    partition: Partition,
    record: Mapping[str, Any],
    embedding: NDArray[np.float32] | None = None,
    snapshots: Mapping[int, tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None,
    outliers: NewCells | None = None,
) -> None:
    """Write clusters, other results for each cell, and the record of the run. Delete stale fields.

    A field is stale if the record of the earlier run lists it and this run does not write it. An
    earlier embedding is never stale.

    Parameters
    ----------
    adata
        Changed in place.
    keys
        Names to write under.
    partition
        Clusters of the cells.
    record
        Entries for ``uns``, in addition to those of the partition and the version. Entries that are
        None are left out.
    embedding
        Shape (n_cells, n_latent); None for none.
    snapshots
        Embedding, shape (n_cells, n_latent), and cluster of each cell, shape (n_cells,), by epoch;
        None for none.
    outliers
        For cells that a model did not train on; None for cells of training.
    """
    names = partition.names or [str(label) for label in range(partition.n_clusters)]
    fields: dict[Field, Any] = {("obs", keys.clusters): categorical(partition.labels, names)}
    info = dict(partition.info)
    if partition.confidence is not None:
        fields["obs", keys.confidence] = partition.confidence
    if partition.agreement is not None:
        fields["obs", keys.agreement] = partition.agreement
    if (prediction := partition.prediction) is not None:
        fields["obs", keys.prediction] = categorical(prediction.proba.argmax(axis=1), prediction.types)
        fields["obsm", keys.proba] = prediction.proba
        info |= {"types": prediction.types, **prediction.info}
    if outliers is not None:
        fields["obs", keys.closest] = fields["obs", keys.clusters]
        fields["obs", keys.clusters] = _with_unknown(partition.labels, names, outliers.is_unknown)
        fields["obs", keys.outlier] = outliers.p_value
        fields["obs", keys.outlier_score] = outliers.score.astype(np.float32)
        info["n_unknown"] = int(outliers.is_unknown.sum())
    if embedding is not None:
        fields["obsm", keys.embedding] = embedding
    if snapshots:
        embeddings, labels = zip(*snapshots.values(), strict=True)
        fields["obsm", keys.snapshot_embeddings] = np.stack(embeddings, axis=1)
        fields["obsm", keys.snapshot_clusters] = np.stack(labels, axis=1).astype(np.int32)
        info["snapshots"] = list(snapshots)
    write_fields(adata, keys, fields, {**record, **info})


def write_fields(
    adata: AnnData,
    keys: Keys,
    fields: dict[Field, Any],
    record: Mapping[str, Any],
    tables: Mapping[str, Any] | None = None,
) -> None:
    """Write fields and the record of the run. Delete stale fields.

    Parameters
    ----------
    adata
        Changed in place.
    keys
        Names to write under.
    fields
        What to write, beside the record.
    record
        Entries for ``uns``, in addition to the version and the names of the fields.
    tables
        Further entries, which are written as they are; None for none.
    """
    earlier = {field for field in keys.recorded(adata.uns) if field[1] in getattr(adata, field[0])}
    # An embedding is kept when a later call only clusters it again.
    kept = earlier & {("obsm", keys.embedding)}
    stale = earlier - kept - fields.keys()
    present = (*fields, *(kept - fields.keys()))
    names_by_place = {place: [name for where, name in present if where == place] for place in PLACES}
    listed = {place: written for place, written in names_by_place.items() if written}
    entry = plain({**record, "fields": listed, "scx_version": __version__}) | dict(tables or {})
    _set_fields(adata, {**fields, ("uns", keys.uns): entry}, stale - {("uns", keys.uns)})


def _set_fields(adata: AnnData, fields: Mapping[Field, Any], stale: Collection[Field]) -> None:
    """Set fields and delete stale ones. If anything fails, undo all of it."""
    obs, obsm, uns = cast("pd.DataFrame", adata.obs).copy(deep=False), dict(adata.obsm), dict(adata.uns)
    layers = {name: adata.layers[name] for name in layer_names(adata)}
    try:
        for (where, name), values in fields.items():
            getattr(adata, where)[name] = values
        for where, name in stale:
            del getattr(adata, where)[name]
    except BaseException:
        adata.obs, adata.obsm = obs, obsm
        for layer in set(layer_names(adata)) - layers.keys():
            del adata.layers[layer]
        for layer, values in layers.items():
            adata.layers[layer] = values
        adata.uns.clear()
        adata.uns.update(uns)
        raise


def categorical(codes: NDArray[np.integer], names: Sequence[str]) -> "pd.Categorical[Any]":
    """Return a column of names, by their numbers."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _with_unknown(
    codes: NDArray[np.integer], names: Sequence[str], is_unknown: NDArray[np.bool_]
) -> "pd.Categorical[Any]":
    """Return the names of clusters, and for unknown cells the entry that marks unlabelled ones."""
    categories = list(dict.fromkeys([*names, UNLABELED]))  # it may be the name of a type
    return categorical(np.where(is_unknown, categories.index(UNLABELED), codes), categories)


def plain(value: Any) -> Any:
    """Convert nested settings to what h5ad and zarr can store: dicts of numbers, text and arrays.

    Entries that are None are left out. Other objects, such as callbacks, become text.
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
    """Return the text of a value; lone surrogates and NUL, which cannot be stored, are escaped."""
    return str(value).encode(errors="backslashreplace").decode().replace("\0", "\\0")
