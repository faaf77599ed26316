from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scx import _checks
from scx._types import typed


@typed
def stability(adata: AnnData, keys: Sequence[str]) -> pd.DataFrame:
    """Compare clusterings with one another, such as those of several seeds.

    Parameters
    ----------
    adata
        Cells × genes, with clusters in ``obs``.
    keys
        Two or more columns of ``obs`` with clusters.

    Returns
    -------
    Adjusted Rand index of each pair of clusterings over the cells that both cover, `keys` × `keys`. The mean of what lies
    off the diagonal, ``frame.to_numpy()[np.triu_indices(len(frame), 1)].mean()``, is the stability of a method over seeds.

    Raises
    ------
    ValueError
        If a key is unknown, or there are fewer than two.
    """
    from sklearn.metrics import adjusted_rand_score

    keys = _checks.check_several("keys", keys)
    for key in keys:
        _checks.check_in("obs", key, adata.obs)
    codes = [pd.factorize(adata.obs[key].to_numpy())[0] for key in keys]
    agreement = np.eye(len(keys))
    for i, first in enumerate(codes):
        for j, second in enumerate(codes[:i]):
            both = (first >= 0) & (second >= 0)
            agreement[i, j] = agreement[j, i] = adjusted_rand_score(first[both], second[both])
    return pd.DataFrame(agreement, index=keys, columns=keys)
