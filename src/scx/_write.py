"""The only place that writes to the user's AnnData, after everything else succeeded."""

from collections.abc import Mapping
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
    """Write clusters, confidence, and the record of the run; what an earlier run told of its clusters is removed.

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
    names = [str(label) for label in range(clustering.n_clusters)]
    adata.obs[keys.clusters] = pd.Categorical.from_codes(clustering.labels, categories=pd.Index(names))
    for name, values in ((keys.confidence, clustering.confidence), (keys.agreement, clustering.agreement)):
        if values is not None:
            adata.obs[name] = values
        elif name in adata.obs:
            del adata.obs[name]
    if embedding is not None:
        adata.obsm[keys.embedding] = embedding
    if snapshots:
        embeddings, labels = zip(*snapshots.values(), strict=True)
        adata.obsm[keys.snapshot_embeddings] = np.stack(embeddings, axis=1)
        adata.obsm[keys.snapshot_clusters] = np.stack(labels, axis=1).astype(np.int32)
        record = {**record, "snapshots": list(snapshots)}
    else:
        for name in (keys.snapshot_embeddings, keys.snapshot_clusters):
            adata.obsm.pop(name, None)
    adata.uns[keys.uns] = _plain({**record, **clustering.info, "scx_version": __version__})


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
