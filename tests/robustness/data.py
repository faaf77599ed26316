"""Small data that every public function can be called on."""

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

N_OBS, N_VARS = 30, 20


def small() -> ad.AnnData:
    """Return 30 cells of three groups × 20 genes, with something in every slot."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], N_OBS // 3)
    means = np.where(np.arange(N_VARS) % 3 == group[:, None], 12.0, 1.0)
    counts = sparse.csr_matrix(rng.poisson(means).astype(np.float32))
    labels = pd.Categorical.from_codes(group, categories=["a", "b", "c"])
    some = np.where(np.arange(N_OBS) % 2 == 0, np.array(labels.astype(object)), "Unknown")
    embedding = np.concatenate([rng.normal(10 * np.eye(3)[group], 0.5), rng.normal(size=(N_OBS, 1))], axis=1)
    shifted = np.roll(group, 1)
    return ad.AnnData(
        counts,
        layers={"counts": counts.copy(), "logged": counts.log1p()},
        obs=pd.DataFrame(
            {
                "labels": labels,
                "some_labels": some,
                "run0": pd.Categorical(group.astype(str)),
                "run1": pd.Categorical(shifted.astype(str)),
                "batch": np.arange(N_OBS) % 2,
                "n_counts": np.asarray(counts.sum(axis=1)).ravel(),
            },
            index=[f"cell{i}" for i in range(N_OBS)],
        ),
        var=pd.DataFrame(
            {"ten": np.arange(N_VARS) < 10, "name": [f"n{i}" for i in range(N_VARS)]},
            index=[f"gene{i}" for i in range(N_VARS)],
        ),
        obsm={"X_emb": embedding.astype(np.float32)},
        varm={"loadings": rng.normal(size=(N_VARS, 2))},
        obsp={"distances": sparse.identity(N_OBS, format="csr")},
        uns={"kept": {"list": [1, 2], "text": "x"}},
    )
