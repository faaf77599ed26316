"""Consensus of several runs: mean ARI and its variance between repetitions, beside single runs, and what it costs.

The folder SCX_DATA holds one h5ad per dataset, raw counts in ``X`` and reference labels in ``obs["cell_type"]``, which are
read for the scores only.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import adjusted_rand_score

import scx


def main() -> None:
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=sorted(path.stem for path in folder.glob("*.h5ad")))
    parser.add_argument("--method", default="contrastive")
    parser.add_argument("--n-runs", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=4)
    args = parser.parse_args()
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    rows = []
    for dataset in args.datasets:
        adata = ad.read_h5ad(folder / f"{dataset}.h5ad")
        truth = adata.obs["cell_type"]
        for n_runs in (1, args.n_runs):
            for seed in range(args.repetitions):
                start = time.perf_counter()
                method = getattr(scx.tl, args.method)
                found = method(adata, truth.nunique(), n_runs=n_runs, rng=seed, key_added="found", copy=True)
                seconds = time.perf_counter() - start
                rows.append((dataset, n_runs, seed, adjusted_rand_score(truth, found.obs["found"]), seconds))
                print(*(f"{v:.3f}" if isinstance(v, float) else v for v in rows[-1]), flush=True)
    results = pd.DataFrame(rows, columns=["dataset", "n_runs", "seed", "ARI", "seconds"])
    table = results.groupby(["dataset", "n_runs"]).agg(
        ARI=("ARI", "mean"), variance=("ARI", "var"), seconds=("seconds", "mean")
    )
    print("\n" + table.unstack("n_runs").map("{:.5f}".format).to_string())
    print("\nmean over datasets\n" + table.groupby("n_runs").mean().map("{:.5f}".format).to_string())
    ratio = table["variance"].unstack("n_runs").mean()
    print(
        f"\nvariance with {args.n_runs} runs over that with one: {np.divide(ratio.loc[args.n_runs], ratio.loc[1]):.2f}"
    )


if __name__ == "__main__":
    main()
