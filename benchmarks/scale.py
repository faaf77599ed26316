"""Clustering an embedding of a million cells, and mapping 100,000 new ones: seconds and memory.

    python benchmarks/scale.py             # every algorithm, each in a process of its own
    python benchmarks/scale.py kmeans      # one of them, or choose
    python benchmarks/scale.py map         # map new cells to a model of 2,000 genes

Memory is what the process held at most beyond what it held with the embedding made, as a multiple of the embedding;
for ``map``, beyond the new cells. Seconds are wall clock, and CPU time of all threads for ``map``.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

import scx
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import choose_n_clusters
from scx._methods import METHODS

N_GROUPS = 20


def held() -> int:
    """Most memory that the process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make_reference() -> ad.AnnData:
    return scx.datasets.simulate(10_000, 2000, group_probs=[0.1] * 10)


def train(method: str, folder: Path) -> None:
    getattr(scx.tl, method)(make_reference(), 10, max_epochs=1, model_dir=folder, accelerator="cpu")


def map_cells(n_cells: int, method: str) -> None:
    """Map cells drawn from those of training to a model that another process trained."""
    rows = np.random.default_rng(0).integers(10_000, size=n_cells)
    reference = make_reference()
    query = ad.AnnData(sparse.csr_matrix(reference.X)[rows], var=reference.var[[]])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        trainer = get_context("spawn").Process(target=train, args=(method, folder))
        trainer.start()
        trainer.join()
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        scx.tl.map_query(query[:100].copy(), folder)  # imports are not charged
        before, start, cpu = held(), time.perf_counter(), time.process_time()
        scx.tl.map_query(query, folder)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = (held() - before) / 1e6
    print(f"{method:<11} {seconds:5.1f} s ({cpu:.1f} s CPU)  {memory:4.0f} MB  model {size:.1f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*ALGORITHMS, "choose", "map"])
    parser.add_argument("--n-cells", type=int, default=1_000_000)
    parser.add_argument("--n-dims", type=int, default=32)
    args = parser.parse_args()
    if args.what is None:
        for what in [*ALGORITHMS, "choose"]:
            subprocess.run([sys.executable, __file__, what, *sys.argv[1:]], check=True)
        return
    if args.what == "map":
        for method in METHODS:
            map_cells(min(args.n_cells, 100_000), method)
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
