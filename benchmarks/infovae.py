"""Embeddings on labelled datasets, all clustered by KMeans with the number of types given; and neighbours on a known manifold.

    python benchmarks/infovae.py embeddings --out infovae.csv
    python benchmarks/infovae.py manifold --out manifold.csv

Written after every run, so that an interrupted benchmark keeps its rows, and rows already there are not run again. Seconds are
of the processor and cover preparation, training and embedding; labels are read for the scores only.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

import scx
from clustering import principal_components
from scx._cluster import cluster
from scx._rng import global_seed

SCORES = ("ARI", "NMI", "silhouette", "knn_preservation", "stability", "seconds")
K_NEIGHBORS = 30
K_MANIFOLD = tuple(range(100, 1501, 100))


def scvi(adata: ad.AnnData, seed: int) -> np.ndarray:
    """SCVI as it comes, on 2,000 genes."""
    from scvi.model import SCVI

    logged = adata.copy()
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    sc.pp.highly_variable_genes(logged, n_top_genes=min(2000, adata.n_vars))
    counts = adata[:, logged.var["highly_variable"]].copy()
    with global_seed(seed):
        SCVI.setup_anndata(counts)
        model = SCVI(counts)
        model.train(enable_progress_bar=False)
        return model.get_latent_representation()


def scx_method(name: str, recipe: str) -> Callable[[ad.AnnData, int], np.ndarray]:
    def embed(adata: ad.AnnData, seed: int) -> np.ndarray:
        n_clusters = adata.obs["cell_type"].nunique()
        return getattr(scx.tl, name)(adata, n_clusters, recipe=recipe, rng=seed, copy=True).obsm[f"X_{name}"]

    return embed


METHODS: dict[str, Callable[[ad.AnnData, int], np.ndarray]] = {
    "pca50": lambda adata, seed: principal_components(adata, 50),
    "contrastive:default": scx_method("contrastive", "default"),
    "infovae:default": scx_method("infovae", "default"),
    "infovae:paper": scx_method("infovae", "paper"),
    "scvi": scvi,
}


def embeddings(names: list[str], methods: list[str], seeds: list[int], out: Path) -> Iterator[dict]:
    """Score every method on every dataset with every seed."""
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    done = pd.read_csv(out)[["dataset", "method", "seed"]].values.tolist() if out.exists() else []
    for method in methods:
        for name in names:
            adata = ad.read_h5ad(folder / f"{name}.h5ad")
            truth = adata.obs["cell_type"].to_numpy()
            adata.obsm["X_input"] = principal_components(adata, 50)
            partitions = []
            for seed in seeds:
                if [name, method, seed] in done:
                    continue
                start = time.process_time()
                adata.obsm["X"] = METHODS[method](adata, seed)
                seconds = time.process_time() - start
                labels = cluster(adata.obsm["X"], len(np.unique(truth)), "kmeans", seed).labels
                partitions.append(labels)
                k = min(K_NEIGHBORS, adata.n_obs - 1)
                yield {
                    "dataset": name,
                    "method": method,
                    "seed": seed,
                    "ARI": adjusted_rand_score(truth, labels),
                    "NMI": normalized_mutual_info_score(truth, labels),
                    "silhouette": silhouette_score(adata.obsm["X"], truth),
                    "knn_preservation": scx.metrics.knn_preservation(adata, "X", reference="X_input", k=k),
                    "stability": np.mean([adjusted_rand_score(a, b) for a, b in combinations(partitions, 2)] or np.nan),
                    "seconds": seconds,
                }


def manifold(names: list[str], methods: list[str], seeds: list[int], out: Path) -> Iterator[dict]:
    """Neighbours of the nine dimensions that are kept in two, by number of neighbours; arguments but `seeds` are not used."""
    for seed in seeds:
        adata = scx.datasets.polynomial_manifold(seed)
        with global_seed(seed):
            scx.model.InfoVAE.setup_anndata(adata)
            model = scx.model.InfoVAE(adata, likelihood="gaussian", n_latent=2)
            model.train(enable_progress_bar=False)
        adata.obsm["infovae"] = model.get_latent_representation()
        adata.obsm["tsne"] = TSNE(random_state=seed).fit_transform(adata.X)
        for method in ("infovae", "tsne"):
            kept = scx.metrics.knn_preservation(adata, method, k=K_MANIFOLD)
            yield {"method": method, "seed": seed, **{str(k): value for k, value in zip(K_MANIFOLD, kept, strict=True)}}


def main() -> None:
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["embeddings", "manifold"])
    parser.add_argument("--datasets", nargs="+", default=sorted(path.stem for path in folder.glob("*.h5ad")))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, help="csv to which rows are appended")
    args = parser.parse_args()
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    run = {"embeddings": embeddings, "manifold": manifold}[args.what]
    for row in run(args.datasets, args.methods, args.seeds, args.out):
        pd.DataFrame([row]).to_csv(args.out, mode="a", header=not args.out.exists(), index=False)
        print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    results = pd.read_csv(args.out)
    if args.what == "embeddings":
        scores = results.groupby(["dataset", "method"], sort=False)[list(SCORES)].mean()
        print(scores.round(3).to_string())
        print(scores.groupby("method").mean().round(3).to_string())
    else:
        print(results.drop(columns="seed").groupby("method").mean().round(3).to_string())


if __name__ == "__main__":
    main()
