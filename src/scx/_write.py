"""The only place that writes to the user's AnnData, after everything else succeeded."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from . import __version__
from ._cluster import Clustering
from ._keys import Keys


def write(
    adata: AnnData,
    keys: Keys,
    *,
    clustering: Clustering,
    record: Mapping[str, Any],
    embedding: NDArray[np.float32] | None = None,
    snapshots: Mapping[int, tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None,
) -> None:
    """Write clusters, what else is known of the cells, and the record of the run; what only an earlier run told is removed.

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
    names = clustering.names or [str(label) for label in range(clustering.n_clusters)]
    fields: dict[tuple[str, str], Any] = {
        ("obs", keys.clusters): _categorical(clustering.labels, names),
        ("obs", keys.confidence): clustering.confidence,
        ("obs", keys.agreement): clustering.agreement,
        ("obs", keys.prediction): None,
        ("obsm", keys.proba): None,
        ("obsm", keys.snapshot_embeddings): None,
        ("obsm", keys.snapshot_clusters): None,
    }
    told = dict(clustering.info)
    if (prediction := clustering.prediction) is not None:
        fields["obs", keys.prediction] = _categorical(prediction.proba.argmax(axis=1), prediction.types)
        fields["obsm", keys.proba] = prediction.proba
        told |= {"types": prediction.types, **prediction.info}
    if embedding is not None:
        fields["obsm", keys.embedding] = embedding
    if snapshots:
        embeddings, labels = zip(*snapshots.values(), strict=True)
        fields["obsm", keys.snapshot_embeddings] = np.stack(embeddings, axis=1)
        fields["obsm", keys.snapshot_clusters] = np.stack(labels, axis=1).astype(np.int32)
        told["snapshots"] = list(snapshots)
    for (where, name), values in fields.items():
        held = getattr(adata, where)
        if values is not None:
            held[name] = values
        elif name in held:
            del held[name]
    adata.uns[keys.uns] = _plain({**record, **told, "scx_version": __version__})


def _categorical(codes: NDArray, names: Sequence[str]) -> "pd.Categorical[Any]":
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _plain(value: Any) -> Any:
    """Turn nested settings into what h5ad and zarr store: no None, no tuples, no numpy scalars."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return np.asarray(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | bool | int | float | np.ndarray):
        return value
    return str(value)
