"""Cells of a type that has no label: each type in turn, 20 % of the cells of the others labelled.

    python benchmarks/new_types.py --arms semiaae:default scanvi --out new_types.csv

`auroc` is the area under the ROC curve if low confidence marks the cells of the unlabelled type,
`cluster_f1` the F1 score of the cluster that fits it best.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import f1_score, roc_auc_score

from arms import parse
from data import UNLABELED, give_labels, read

DATASETS = {"mouse_bladder": "cell_type", "pbmc_sorted": "subpop", "pollen": "cell_type"}
"""Datasets, and the column with their types: subtypes are no new types."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=["semiaae:default", "scanvi"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="csv with one row per arm, dataset and type")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    sc.settings.verbosity = 0
    rows = []
    for dataset, column in DATASETS.items():
        for arm in args.arms:
            adata, truth = read(dataset, column)
            given = give_labels(truth, "0.2", args.seed)
            for new in np.unique(truth):
                adata.obs["given"] = np.where(truth == new, UNLABELED, given)
                found = parse(arm).fit(adata, None, args.seed)
                scored = adata.obs["given"].to_numpy() == UNLABELED
                is_new, clusters = truth[scored] == new, found.clusters[scored]
                auroc = roc_auc_score(is_new, -found.confidence[scored])
                cluster_f1 = max(f1_score(is_new, clusters == name) for name in np.unique(clusters))
                rows.append((dataset, arm, new, auroc, cluster_f1))
                print(*rows[-1], flush=True)
    results = pd.DataFrame(rows, columns=["dataset", "arm", "type", "auroc", "cluster_f1"])
    if args.out:
        results.to_csv(args.out, index=False)
    print(results.groupby(["arm", "dataset"], sort=False)[["auroc", "cluster_f1"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
