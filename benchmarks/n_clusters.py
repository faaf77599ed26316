"""How many clusters: what scx chooses, beside Leiden, the gap statistic and the silhouette; and what the confidence is worth.

The folder SCX_DATA holds one h5ad per dataset, raw counts in ``X`` and reference labels in ``obs["cell_type"]``, which are
read for the scores only. --cache keeps embeddings from one run to the next. --simulate adds simulated groups.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

import scx
from clustering import principal_components
from scx._cluster import METHODS, cluster
from scx._n_clusters import choose_n_clusters

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
    "scx": ("X_contrastive", lambda embedding, seed: choose_n_clusters(embedding, seed).chosen),
    "scx, PCA": ("X_pca", lambda embedding, seed: choose_n_clusters(embedding, seed).chosen),
    "Leiden": ("X_contrastive", leiden),
    "Leiden, PCA": ("X_pca", leiden),
    "gap": ("X_contrastive", gap),
    "silhouette": ("X_contrastive", silhouette),
}
"""Rules by name: the embedding they are given, and embedding, seed → number of clusters."""


def datasets(folder: Path, simulate: bool) -> Iterator[tuple[str, Callable[[], ad.AnnData]]]:
    for path in sorted(folder.glob("*.h5ad")):
        yield path.stem, lambda path=path: ad.read_h5ad(path)
    for k in (4, 8, 16, 32) if simulate else ():
        for kind in ("balanced", "unbalanced"):
            yield f"simulated_{k}_{kind}", lambda k=k, kind=kind: simulated(k, kind)


def simulated(k: int, kind: str) -> ad.AnnData:
    """Splatter's model, groups of one size or with sizes that fall geometrically to a tenth of the first."""
    sizes = np.ones(k) if kind == "balanced" else np.geomspace(1, 0.1, k)
    adata = scx.datasets.simulate(3000, 2000, n_groups=k, group_probs=sizes / sizes.sum(), de_prob=0.2, de_scale=0.6)
    adata.obs["cell_type"] = adata.obs["group"].astype(str)
    return adata


def embeddings(adata: ad.AnnData, seed: int, k: int) -> dict[str, np.ndarray]:
    found = scx.tl.contrastive(adata, k, rng=seed, copy=True)
    return {"X_contrastive": found.obsm["X_contrastive"], "X_pca": principal_components(adata, 20).astype(np.float32)}


def misassigned(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Cells that are not of the commonest type of their cluster."""
    table = contingency_matrix(truth, found)
    return table.argmax(axis=0)[found] != np.unique(truth, return_inverse=True)[1]


def lowest_decile(rows: list[pd.DataFrame]) -> tuple[float, float]:
    """Share of misassigned cells among the tenth with the lowest confidence of all, and among the others."""
    cells = pd.concat(rows)
    low = cells["confidence"].rank(method="first") <= len(cells) / 10
    return cells.loc[low, "wrong"].mean(), cells.loc[~low, "wrong"].mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--only", help="datasets whose name holds this")
    parser.add_argument("--rules", nargs="+", default=list(RULES))
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    rows, confidences = [], {name: [] for name in METHODS}
    for dataset, read in datasets(Path(os.environ.get("SCX_DATA", "../shared/data")), args.simulate):
        if args.only and args.only not in dataset:
            continue
        for seed in args.seeds:
            path = args.cache / f"{dataset}_{seed}.npz" if args.cache else None
            if path and path.exists():
                stored = dict(np.load(path, allow_pickle=True))
            else:
                adata = read()
                truth = adata.obs["cell_type"].astype(str).to_numpy().astype(str)
                stored = {"truth": truth, **embeddings(adata, seed, len(np.unique(truth)))}
                if path:
                    np.savez(path, **stored)
            truth = stored["truth"]
            k = len(np.unique(truth))
            for method in METHODS:
                found = cluster(stored["X_contrastive"], k, method, seed)
                wrong = misassigned(truth, found.labels)
                confidences[method].append(pd.DataFrame({"confidence": found.confidence, "wrong": wrong}))
            at_k = adjusted_rand_score(truth, cluster(stored["X_contrastive"], k, "kmeans", seed).labels)
            for rule in args.rules:
                rep, choose = RULES[rule]
                start = time.perf_counter()
                chosen = choose(stored[rep], seed)
                seconds = time.perf_counter() - start
                # every rule's number is judged by the same clustering
                labels = cluster(stored["X_contrastive"], chosen, "kmeans", seed).labels if chosen > 1 else truth == ""
                ari = adjusted_rand_score(truth, labels)
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
    print("\nmisassigned: lowest decile of confidence, others, ratio (k given)\n")
    for method, frames in confidences.items():
        low, others = lowest_decile(frames)
        print(f"{method:<10}{low:8.3f}{others:8.3f}{low / max(others, 1e-9):8.2f}")


if __name__ == "__main__":
    main()
