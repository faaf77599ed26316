"""Consensus of several runs: mean ARI and its variance between repetitions, beside single runs, and what it costs.

Runs are those of clustering.py; repetitions share none of them.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from clustering import arguments, parse, run
from scx._clustering.consensus import consensus


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arms", nargs="+", default=["contrastive:default"])
    parser.add_argument("--n-runs", type=int, default=5)
    parser.set_defaults(seeds=list(range(20)))
    args = parse(parser)
    rows = []
    for arm in args.arms:
        for dataset in args.datasets:
            runs = [run(arm, dataset, seed, args.runs) for seed in args.seeds]
            truth = runs[0].truth
            singles = [adjusted_rand_score(truth, one.labels) for one in runs]
            groups = [runs[start : start + args.n_runs] for start in range(0, len(runs), args.n_runs)]
            several = [
                adjusted_rand_score(truth, consensus([one.labels for one in group], len(np.unique(truth)), seed).labels)
                for seed, group in enumerate(groups)
            ]
            for n_runs, aris in ((1, singles), (args.n_runs, several)):
                seconds = n_runs * np.mean([one.seconds for one in runs])
                rows.append((arm, dataset, n_runs, np.mean(aris), np.var(aris, ddof=1), seconds))
                print(*(f"{v:.5f}" if isinstance(v, float) else v for v in rows[-1]), flush=True)
    results = pd.DataFrame(rows, columns=["arm", "dataset", "n_runs", "ARI", "variance", "seconds"])
    means = results.groupby(["arm", "n_runs"])[["ARI", "variance", "seconds"]].mean()
    print("\nmean over datasets\n" + means.map("{:.5f}".format).to_string())
    variance = means["variance"].unstack()
    print("\nvariance over that of one run\n" + (variance[args.n_runs] / variance[1]).map("{:.2f}".format).to_string())


if __name__ == "__main__":
    main()
