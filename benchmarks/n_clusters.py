"""How many clusters: what scx chooses, beside Leiden, the gap statistic and the silhouette.

Datasets and runs are those of clustering.py. --simulated takes simulated groups instead.
"""

import time
from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from clustering import SIMULATED, arguments, parse, run
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import choose_n_clusters

LARGEST = 30
"""Largest number of clusters that the gap statistic and the silhouette try."""
SAMPLE = 2000
"""Cells that they see, as many as scx does."""


def sampled(embedding: np.ndarray, seed: int) -> np.ndarray:
    return embedding[np.random.default_rng(seed).permutation(len(embedding))[:SAMPLE]]


def leiden(embedding: np.ndarray, seed: int) -> int:
    """Scanpy's defaults: 15 neighbours, resolution 1."""
    graph = ad.AnnData(obsm={"X": embedding})
    sc.pp.neighbors(graph, use_rep="X", random_state=seed)
    sc.tl.leiden(graph, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
    return graph.obs["leiden"].nunique()


def silhouette(embedding: np.ndarray, seed: int) -> int:
    cells = sampled(embedding, seed)
    scores = {
        k: silhouette_score(cells, KMeans(k, n_init=3, random_state=seed).fit_predict(cells)) for k in tried(cells)
    }
    return max(scores, key=scores.__getitem__)


def gap(embedding: np.ndarray, seed: int, n_references: int = 5) -> int:
    """Tibshirani, Walther & Hastie (2001), with references uniform along the principal axes."""
    cells = sampled(embedding, seed)
    rng = np.random.default_rng(seed)
    centred = cells - cells.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    rotated = centred @ axes.T
    shape = (n_references, *rotated.shape)
    references = rng.uniform(rotated.min(axis=0), rotated.max(axis=0), size=shape).astype(np.float32)

    def log_inertia(points: np.ndarray, k: int) -> float:
        return np.log(KMeans(k, n_init=1, random_state=seed).fit(points).inertia_)

    previous = -np.inf
    for k in tried(cells):
        reference = np.array([log_inertia(points, k) for points in references])
        value = reference.mean() - log_inertia(rotated, k)
        if previous >= value - reference.std() * np.sqrt(1 + 1 / n_references):
            return k - 1
        previous = value
    return LARGEST


def tried(cells: np.ndarray) -> range:
    return range(2, min(LARGEST, len(cells) // 10) + 1)


RULES: dict[str, tuple[str, Callable[[np.ndarray, int], int]]] = {
    "scx": ("contrastive:default", lambda embedding, seed: choose_n_clusters(embedding, seed).chosen),
    "scx, PCA": ("pca20_leiden", lambda embedding, seed: choose_n_clusters(embedding, seed).chosen),
    "Leiden": ("contrastive:default", leiden),
    "Leiden, PCA": ("pca20_leiden", leiden),
    "gap": ("contrastive:default", gap),
    "silhouette": ("contrastive:default", silhouette),
}
"""Rules by name: the arm whose embedding they are given, and embedding, seed → number of clusters."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--rules", nargs="+", default=list(RULES))
    args = parse(parser)
    rows = []
    for dataset in SIMULATED if args.simulated else args.datasets:
        for seed in args.seeds:
            runs = {arm: run(arm, dataset, seed, args.runs) for arm in {arm for arm, _ in RULES.values()}}
            own = runs["contrastive:default"]
            k = len(np.unique(own.truth))
            at_k = adjusted_rand_score(own.truth, own.labels)
            for rule in args.rules:
                arm, choose = RULES[rule]
                start = time.process_time()
                chosen = choose(runs[arm].embedding, seed)
                seconds = time.process_time() - start
                # every rule's number is judged by the same clustering
                ari = adjusted_rand_score(own.truth, fit_partition(own.embedding, chosen, "kmeans", seed).labels)
                rows.append((dataset, seed, rule, k, chosen, (chosen - k) / k, ari, ari - at_k, seconds))
                print(*(f"{v:.3f}" if isinstance(v, float) else v for v in rows[-1]), flush=True)
    columns = ["dataset", "seed", "rule", "k", "chosen", "error", "ARI", "ARI - ARI at k", "seconds"]
    results = pd.DataFrame(rows, columns=columns)
    results["absolute error"] = results["error"].abs()
    print("\nchosen (seeds)\n")
    chosen = results.groupby(["dataset", "k", "rule"], sort=False)["chosen"].agg(lambda v: ", ".join(map(str, v)))
    print(chosen.unstack("rule")[args.rules].to_string())
    print("\nmeans over datasets and seeds\n")
    means = results.groupby("rule", sort=False)[["absolute error", "error", "ARI", "ARI - ARI at k", "seconds"]].mean()
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
