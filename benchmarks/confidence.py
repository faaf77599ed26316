"""What the confidence is worth: how often cells are misassigned in the lowest tenth of each dataset, and how often the others.

Runs are those of clustering.py, the number of types given. Misassigned is a cell whose type is not that of its cluster: the
commonest type there (majority), or the one that the best one-to-one matching gives it (matching), which also counts the cells of a type that
was split.
"""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from clustering import Run, arguments, parse, run


def misassigned(found: Run) -> dict[str, np.ndarray]:
    types = np.unique(found.truth, return_inverse=True)[1]
    table = contingency_matrix(found.truth, found.labels)
    matched = np.full(table.shape[1], -1)
    rows, columns = linear_sum_assignment(-table)
    matched[columns] = rows
    return {"majority": table.argmax(axis=0)[found.labels] != types, "matching": matched[found.labels] != types}


def by_confidence(confidence: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """Share of misassigned cells among the tenth with the lowest confidence, and among the others."""
    low = pd.Series(confidence).rank(method="first").to_numpy() <= len(confidence) / 10
    return wrong[low].mean(), wrong[~low].mean()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arms", nargs="+", default=["contrastive:default", "cicl:default", "infovae:default"])
    args = parse(parser)
    rows = []
    for arm in args.arms:
        for dataset in args.datasets:
            for seed in args.seeds:
                found = run(arm, dataset, seed, args.runs)
                for rule, wrong in misassigned(found).items():
                    rows.append((arm, rule, dataset, *by_confidence(found.confidence, wrong)))
    results = pd.DataFrame(rows, columns=["arm", "rule", "dataset", "lowest tenth", "others"])
    means = results.groupby(["arm", "rule", "dataset"], sort=False).mean()
    for frame in (means, means.groupby(["arm", "rule"], sort=False).mean()):
        print(frame.assign(ratio=frame["lowest tenth"] / frame["others"].clip(lower=1e-9)).round(3).to_string(), "\n")


if __name__ == "__main__":
    main()
