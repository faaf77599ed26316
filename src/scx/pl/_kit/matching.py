"""Which cluster goes with which label."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment


def matched_counts(labels: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """Count cells by label and cluster, both ordered so that the diagonal is heavy.

    Labels and clusters are paired one to one so that as many cells as possible lie in pairs
    (Hungarian algorithm). Pairs come first, from the largest to the smallest, then labels and
    clusters without a partner.

    Parameters
    ----------
    labels, clusters
        Categories of each cell; cells that miss either are not counted.

    Returns
    -------
    Labels × clusters.
    """
    table = pd.crosstab(labels, clusters)
    if not table.size:
        msg = f"No cell has a value in both {labels.name!r} and {clusters.name!r}. Pass another `labels_key` or `key`."
        raise ValueError(msg)
    counts = table.to_numpy()
    rows, cols = linear_sum_assignment(counts, maximize=True)
    order = np.argsort(-counts[rows, cols], kind="stable")
    rows, cols = rows[order], cols[order]
    lone_rows = np.setdiff1d(np.arange(len(counts)), rows)
    lone_cols = np.setdiff1d(np.arange(counts.shape[1]), cols)
    # Those without a partner follow in the order of the pairs with which they share most cells.
    lone_rows = lone_rows[np.argsort(counts[np.ix_(lone_rows, cols)].argmax(axis=1), kind="stable")]
    lone_cols = lone_cols[np.argsort(counts[np.ix_(rows, lone_cols)].argmax(axis=0), kind="stable")]
    return table.iloc[np.concatenate([rows, lone_rows]), np.concatenate([cols, lone_cols])]
