"""Methods and everyday recipes on labelled datasets, the number of clusters given: every dataset, every seed.

The folder SCX_DATA holds one h5ad per dataset, raw counts in ``X`` and reference labels in ``obs["cell_type"]``, which are
read for the scores only. A row of --methods is a method of scx with a recipe, as contrastive:default, or a baseline.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from demo import methods
from scx._cluster import cluster


def principal_components(adata: ad.AnnData, n_comps: int) -> np.ndarray:
    """Scanpy's standard workflow up to the principal components."""
    adata = adata.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=min(2000, adata.n_vars))
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=min(n_comps, min(adata.shape) - 1))
    return adata.obsm["X_pca"]


BASELINES: dict[str, Callable[[ad.AnnData, int, int], np.ndarray]] = {
    "pca50_kmeans": lambda adata, k, seed: KMeans(k, n_init=10, random_state=seed).fit_predict(
        principal_components(adata, 50)
    ),
    "pca20_leiden": lambda adata, k, seed: cluster(principal_components(adata, 20), k, "leiden", seed).labels,
}


def run(name: str, adata: ad.AnnData, n_clusters: int, seed: int) -> np.ndarray:
    """Return the clusters that a method or baseline finds."""
    if name in BASELINES:
        return BASELINES[name](adata, n_clusters, seed)
    method, recipe = name.split(":")
    annotated = methods()[method](adata, n_clusters, recipe=recipe, rng=seed, copy=True)
    return annotated.obs[method].to_numpy()


def accuracy(truth: np.ndarray, found: np.ndarray) -> float:
    """Share of cells in the type that the best one-to-one matching gives their cluster."""
    table = contingency_matrix(truth, found)
    return table[linear_sum_assignment(-table)].sum() / table.sum()


def table(results: pd.DataFrame, score: str) -> str:
    """Datasets × methods, mean ± standard deviation over seeds, and the mean over datasets."""
    grouped = results.groupby(["dataset", "method"], sort=False)[score]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    cells = mean.map("{:.3f}".format) + " ± " + spread.map("{:.3f}".format)
    cells.loc["mean"] = mean.mean().map("{:.3f}".format)
    lines = [
        [score, *cells.columns],
        ["---"] * (1 + len(cells.columns)),
        *([i, *row] for i, *row in cells.itertuples()),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=sorted(path.stem for path in folder.glob("*.h5ad")))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    every = [f"{name}:{recipe}" for name in methods() for recipe in ("default", "paper")]
    parser.add_argument("--methods", nargs="+", default=[*every, *BASELINES])
    parser.add_argument("--out", type=Path, help="csv with one row per dataset, method and seed")
    args = parser.parse_args()
    if not args.datasets:
        parser.exit(1, f"No datasets in {folder}: set SCX_DATA to the folder of the labelled h5ad files.\n")
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    rows = []
    for dataset in args.datasets:
        adata = ad.read_h5ad(folder / f"{dataset}.h5ad")
        truth = adata.obs["cell_type"].to_numpy()
        for name in args.methods:
            for seed in args.seeds:
                start = time.perf_counter()
                found = run(name, adata, len(np.unique(truth)), seed)
                rows.append(
                    {
                        "dataset": dataset,
                        "method": name,
                        "seed": seed,
                        "ARI": adjusted_rand_score(truth, found),
                        "NMI": normalized_mutual_info_score(truth, found),
                        "ACC": accuracy(truth, found),
                        "seconds": time.perf_counter() - start,
                    }
                )
                print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), flush=True)
    results = pd.DataFrame(rows)
    if args.out:
        results.to_csv(args.out, index=False)
    for score in ("ARI", "NMI", "ACC", "seconds"):
        print(f"\n{table(results, score)}")


if __name__ == "__main__":
    main()
