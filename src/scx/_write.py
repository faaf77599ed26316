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
    adata: AnnData, keys: Keys, *, embedding: NDArray[np.float32], clustering: Clustering, record: Mapping[str, Any]
) -> None:
    """Write embedding, clusters, confidence, and the record of the run.

    Parameters
    ----------
    adata
        Changed in place.
    keys
        Names to write under.
    embedding
        Shape (n_cells, n_latent).
    clustering
        Clusters of the cells.
    record
        What ``uns`` shall hold, beside what the clustering tells and the version; entries that are None are left out.
    """
    names = [str(label) for label in range(int(clustering.labels.max()) + 1)]
    adata.obs[keys.clusters] = pd.Categorical.from_codes(clustering.labels, categories=pd.Index(names))
    adata.obs[keys.confidence] = clustering.confidence
    adata.obsm[keys.embedding] = embedding
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
