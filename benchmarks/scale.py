"""Clustering an embedding of a million cells: seconds and memory of every algorithm and of the choice of the number.

    python benchmarks/scale.py             # every algorithm, each in a process of its own
    python benchmarks/scale.py kmeans      # one of them, or choose

Memory is what the process held at most beyond what it held with the embedding made, as a multiple of the embedding.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import choose_n_clusters

N_GROUPS = 20


def held() -> int:
    """Most memory that the process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*ALGORITHMS, "choose"])
    parser.add_argument("--n-cells", type=int, default=1_000_000)
    parser.add_argument("--n-dims", type=int, default=32)
    args = parser.parse_args()
    if args.what is None:
        for what in [*ALGORITHMS, "choose"]:
            subprocess.run([sys.executable, __file__, what, *sys.argv[1:]], check=True)
        return
    small = make_blobs(2000, args.n_dims, centers=N_GROUPS, random_state=0)[0].astype(np.float32)
    run = {"choose": lambda x: choose_n_clusters(x, 0)}.get(
        args.what, lambda x: fit_partition(x, N_GROUPS, args.what, 0)
    )
    run(small)  # imports are not charged
    rng = np.random.default_rng(0)
    centers = 1.2 * rng.standard_normal((N_GROUPS, args.n_dims), dtype=np.float32)
    groups = rng.integers(N_GROUPS, size=args.n_cells)
    embedding = rng.standard_normal((args.n_cells, args.n_dims), dtype=np.float32)
    for group, center in enumerate(centers):
        embedding[groups == group] += center
    before, start = held(), time.perf_counter()
    found = run(embedding)
    seconds, memory = time.perf_counter() - start, (held() - before) / embedding.nbytes
    result = (
        f"chosen {found.chosen}" if args.what == "choose" else f"ARI {adjusted_rand_score(groups, found.labels):.3f}"
    )
    print(f"{args.what:<9} {seconds:6.1f} s  {memory:5.2f} × embedding  {result} ({N_GROUPS} groups)", flush=True)


if __name__ == "__main__":
    main()
