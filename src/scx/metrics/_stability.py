from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scx import _anndata, _checks
from scx._types import typed


@typed
def stability(adata: AnnData, keys: Sequence[str]) -> pd.DataFrame:
    """Compare clusterings with each other, such as those of several seeds.

    Parameters
    ----------
    adata
        Cells × genes, with clusters in ``obs``.
    keys
        Two or more columns of ``obs`` with clusters.

    Returns
    -------
    Adjusted Rand index of each pair of clusterings over the cells that both cover, `keys` × `keys`.
    The mean off the diagonal, ``frame.to_numpy()[np.triu_indices(len(frame), 1)].mean()``, is the
    stability of a method over seeds.

    Raises
    ------
    ValueError, TypeError
        If a key is unknown, there are fewer than two, or two of them share no cell.
    """
    from sklearn.metrics import adjusted_rand_score

    _anndata.check_some_cells(adata)
    keys = _checks.check_several("keys", keys)
    codes = [pd.factorize(_anndata.check_column(adata, "keys", key).to_numpy())[0] for key in keys]
    agreement = np.eye(len(keys))
    for i, first in enumerate(codes):
        for j, second in enumerate(codes[:i]):
            both = (first >= 0) & (second >= 0)
            if not both.any():
                msg = f"`keys`: no cell has a cluster in both {keys[j]!r} and {keys[i]!r}. Omit one of them."
                raise ValueError(msg)
            agreement[i, j] = agreement[j, i] = adjusted_rand_score(first[both], second[both])
    return pd.DataFrame(agreement, index=keys, columns=keys)
