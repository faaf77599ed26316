"""CICL with and without its cluster-aware loss, and its paper recipe for as long as the time allows, beside contrastive and PCA.

The folder SCX_DATA and the scores are those of clustering.py; labels are read for the scores only.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

import scx
from clustering import BASELINES, accuracy, adjusted_rand_score, normalized_mutual_info_score

CICL: dict[str, dict[str, Any]] = {
    "default": {},
    "default, λ = 0": {"model_kwargs": {"cluster_weight": 0.0}},
    "paper": {"recipe": "paper"},
    "paper, λ = 0": {"recipe": "paper", "model_kwargs": {"cluster_weight": 0.0}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    parser.add_argument("--datasets", nargs="+", default=sorted(path.stem for path in folder.glob("*.h5ad")))
    parser.add_argument("--runs", nargs="+", default=["pca50_kmeans", "contrastive", *CICL])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--paper-epochs", type=int, default=1000, help="fewer than the 1,000 of the paper to save time")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sc.settings.verbosity = 0
    scx.tl.cicl(scx.datasets.pbmc68k_reduced(), 8, max_epochs=1)  # imports are not charged to the first run
    rows = []
    for seed in arguments.seeds:
        for dataset in arguments.datasets:
            original = ad.read_h5ad(folder / f"{dataset}.h5ad")
            truth = original.obs["cell_type"].astype(str).to_numpy()
            k = len(np.unique(truth))
            for run in arguments.runs:
                adata = original.copy()
                wall, processor = time.perf_counter(), time.process_time()
                if run in BASELINES:
                    found = BASELINES[run](adata, k, seed)
                elif run == "contrastive":
                    scx.tl.contrastive(adata, k, rng=seed)
                    found = adata.obs["contrastive"].to_numpy()
                else:
                    max_epochs = arguments.paper_epochs if run.startswith("paper") else None
                    scx.tl.cicl(adata, k, rng=seed, max_epochs=max_epochs, **CICL[run])
                    found = adata.obs["cicl"].to_numpy()
                rows.append(
                    {
                        "dataset": dataset,
                        "run": run,
                        "seed": seed,
                        "ARI": adjusted_rand_score(truth, found),
                        "NMI": normalized_mutual_info_score(truth, found),
                        "ACC": accuracy(truth, found),
                        "seconds": time.perf_counter() - wall,
                        "processor_seconds": time.process_time() - processor,
                    }
                )
                print(rows[-1], flush=True)
                pd.DataFrame(rows).round(4).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
