"""Labelled datasets: raw counts, and reference types that are read for the scores only.

The folder SCX_DATA holds one h5ad per dataset, with raw counts in ``X`` and types in
``obs["cell_type"]``. A name such as ``simulated_8_unbalanced`` makes data with 8 groups.
"""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

FOLDER = Path(os.environ.get("SCX_DATA", "../shared/data"))
UNLABELED = "Unknown"


def datasets() -> list[str]:
    """Return the names of the datasets in the folder."""
    return sorted(path.stem for path in FOLDER.glob("*.h5ad"))


def read(dataset: str, column: str = "cell_type") -> tuple[ad.AnnData, np.ndarray]:
    """Return raw counts without any label, and the type of each cell in a column of ``obs``."""
    if dataset.startswith("simulated_"):
        adata, column = simulate(dataset), "group"
    else:
        adata = ad.read_h5ad(FOLDER / f"{dataset}.h5ad")
    truth = adata.obs[column].astype(str).to_numpy().astype(str)
    return ad.AnnData(adata.X, obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=adata.var_names)), truth


def simulate(dataset: str) -> ad.AnnData:
    """Make the data that a name such as ``simulated_8_balanced`` stands for."""
    import scx

    _, n_groups, kind = dataset.split("_")
    # unbalanced: sizes fall geometrically, to a tenth of the first
    sizes = np.geomspace(1, 0.1 if kind == "unbalanced" else 1, int(n_groups))
    return scx.datasets.simulate(3000, 2000, group_probs=sizes / sizes.sum(), de_prob=0.2, de_scale=0.6)


def give_labels(truth: np.ndarray, spec: str, seed: int) -> np.ndarray:
    """Return the types that a method is told, ``Unknown`` for the other cells.

    ``0.05`` tells 5 % of the cells of each type, at least one; ``20`` tells 20 cells of each type.
    With ``0.05:wrong``, every fifth label that is told is wrong: any other type, at random.
    """
    amount, _, kind = spec.partition(":")
    number = float(amount)
    rng = np.random.default_rng(seed)
    types = np.unique(truth)
    given = np.full(len(truth), UNLABELED, dtype=object)
    for name in types:
        cells = np.flatnonzero(truth == name)
        n_told = round(number * len(cells)) if number < 1 else min(int(number), len(cells))
        told = rng.choice(cells, max(1, n_told), replace=False)
        given[told] = name
    if kind == "wrong":
        told = np.flatnonzero(given != UNLABELED)
        for cell in rng.choice(told, round(len(told) / 5), replace=False):
            given[cell] = rng.choice(types[types != truth[cell]])
    elif kind:
        msg = f"Unknown kind of labels {spec!r}: use 0.05, 20, or 0.05:wrong."
        raise ValueError(msg)
    return given.astype(str)
