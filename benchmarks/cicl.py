"""CICL beside contrastive and PCA(50) + KMeans on labelled data: ARI, NMI, ACC, seconds. Labels are used for scores only.

python benchmarks/cicl.py --out cicl.csv [--data pbmc4k pollen …] [--runs default paper …] [--seeds 0 1 2] [--paper-seconds 60]
"""

import argparse
import os
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

import scx

DATA = [
    "pbmc4k",
    "worm_neuron",
    "mouse_bladder",
    "pbmc_sorted",
    "hashing_4lines",
    "pbmc_citeseq",
    "pollen",
    "cellbench_5lines",
    "pbmc_ifn_batches",
]


def accuracy(truth, labels):
    table = contingency_matrix(truth, labels)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / len(truth)


def pca_kmeans(adata, k, seed):
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    if adata.n_vars > 2000:
        sc.pp.highly_variable_genes(adata, n_top_genes=2000)
        adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=50, random_state=seed)
    return KMeans(k, n_init=10, random_state=seed).fit_predict(adata.obsm["X_pca"])


def run(adata, name, k, seed, paper_seconds):
    """Return one label per cell, and how many epochs were trained."""
    if name == "pca":
        return pca_kmeans(adata, k, seed), 0
    if name == "contrastive":
        scx.tl.contrastive(adata, k, rng=seed)
        return adata.obs["contrastive"], len(adata.uns["contrastive"]["history"]["loss"])
    kwargs = {}
    if name.endswith("lambda0"):
        kwargs["model_kwargs"] = {"cluster_weight": 0.0}
    if name.endswith("stop"):
        kwargs["train_kwargs"] = {"early_stopping": True}
    if name.startswith("paper"):
        # 1,000 epochs take hours on a CPU: as many as the time allows, the first ones.
        kwargs["recipe"] = "paper"
        kwargs["train_kwargs"] = {"max_time": {"seconds": paper_seconds}}
    scx.tl.cicl(adata, k, rng=seed, **kwargs)
    return adata.obs["cicl"], len(adata.uns["cicl"]["history"]["loss"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--runs", nargs="+", default=["pca", "contrastive", "default", "default lambda0"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--paper-seconds", type=int, default=60)
    arguments = parser.parse_args()
    sc.settings.verbosity = 0
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    # Not to charge the first run with what libraries compile on first use.
    scx.tl.cicl(scx.datasets.pbmc68k_reduced(), 8, max_epochs=1)
    rows = []
    for seed in arguments.seeds:
        for data in arguments.data:
            adata = ad.read_h5ad(folder / f"{data}.h5ad")
            sc.pp.filter_cells(adata, min_counts=1)
            truth = adata.obs["cell_type"].astype(str).to_numpy()
            k = len(np.unique(truth))
            for name in arguments.runs:
                wall, cpu = time.perf_counter(), time.process_time()
                labels, epochs = run(adata.copy(), name, k, seed, arguments.paper_seconds)
                rows.append(
                    {
                        "data": data,
                        "run": name,
                        "seed": seed,
                        "ari": adjusted_rand_score(truth, labels),
                        "nmi": normalized_mutual_info_score(truth, labels),
                        "acc": accuracy(truth, np.asarray(labels)),
                        "seconds": time.perf_counter() - wall,
                        "cpu_seconds": time.process_time() - cpu,
                        "epochs": epochs,
                    }
                )
                pd.DataFrame(rows).round(4).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
