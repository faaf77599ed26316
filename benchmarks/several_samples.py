"""Several samples: what `batch_key` gains and costs, with methods of scx and peers.

    python benchmarks/several_samples.py                                  # all arms and datasets
    python benchmarks/several_samples.py --datasets cellbench_5lines --arms contrastive contrastive:batch
    python benchmarks/several_samples.py --scib                           # with the scores of scib-metrics

A row is appended to --out as it finishes; rows that the file has are not made again.

Arms are methods of scx, ``scvi`` as it comes, and ``harmony``, which is Harmony on 50 principal components; the
embeddings of peers are clustered by KMeans. ``:batch`` tells the arm the batch of each cell. All are given the number
of types.

Columns of a row: `ari`, of the clusters; `mixing`, the share of the 15 nearest neighbours in the embedding that are
from another batch, relative to that among all cells; `mixing_of_types`, relative to that among the cells of the type of
the cell, which is what mixing cannot exceed without joining types; `seconds` of CPU time. `scib_bio` and `scib_batch`
are the means of the scores of bio conservation and of batch correction of scib-metrics.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from data import read
from run import append, code_version, cpu_seconds

OUT = Path(__file__).parent / "batches.csv"
KEY = ["dataset", "arm", "seed"]
SCORES = ["ari", "mixing", "mixing_of_types", "seconds", "scib_bio", "scib_batch"]
COLUMNS = [*KEY, *SCORES, "scx"]
BATCHES = {
    "pbmc_ifn_batches": "sample_id",
    "cellbench_5lines": "plate",
    "onek1k_blood_40donors": "batch",
    "zilionis_mouse_lung_immune": "batch",
    "pancreas_4tech_small": "batch",
    "mixology_rnamix": "batch",
    "kolodziejczyk_mesc": "batch",
    "lamanno_human_es": "batch",
    "jaitin_spleen_sorted": "batch",
    "breton_predc": "batch",
    "tang_zebrafish_marrow": "batch",
}
"""Datasets, and the column with their batches. In the last three, every type is in one batch."""
N_NEIGHBORS = 15


def embed(arm: str, adata: ad.AnnData, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the embedding and the clusters that an arm finds; batches are in ``obs["batch"]``."""
    from arms import kmeans
    from scx._methods import METHODS

    name, _, told = arm.partition(":")
    batch_key = "batch" if told else None
    if name in METHODS:
        found = METHODS[name].function(adata, k, batch_key=batch_key, rng=seed, key_added="found", copy=True)
        return found.obsm["X_found"], found.obs["found"].to_numpy().astype(str)
    embedding = {"scvi": scvi, "harmony": harmony}[name](adata, batch_key, seed)
    return embedding, kmeans(embedding, k, seed)


def variable_genes(adata: ad.AnnData, batch_key: str | None) -> ad.AnnData:
    import scanpy as sc

    adata = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=min(2000, adata.n_vars), batch_key=batch_key)
    return adata[:, adata.var["highly_variable"]].copy()


def scvi(adata: ad.AnnData, batch_key: str | None, seed: int) -> np.ndarray:
    from scvi.model import SCVI

    from scx._rng import global_seed

    genes = variable_genes(adata, batch_key)
    with global_seed(seed):
        SCVI.setup_anndata(genes, layer="counts", batch_key=batch_key)
        model = SCVI(genes)
        model.train(enable_progress_bar=False)
        return model.get_latent_representation()


def harmony(adata: ad.AnnData, batch_key: str | None, seed: int) -> np.ndarray:
    import scanpy as sc

    genes = variable_genes(adata, batch_key)
    sc.pp.scale(genes, max_value=10)
    sc.pp.pca(genes, n_comps=min(50, min(genes.shape) - 1), random_state=seed)
    if batch_key is None:
        return genes.obsm["X_pca"]
    import harmonypy

    corrected = np.asarray(harmonypy.run_harmony(genes.obsm["X_pca"], genes.obs, batch_key, random_state=seed).Z_corr)
    return corrected if len(corrected) == adata.n_obs else corrected.T


def mixing(embedding: np.ndarray, batches: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Return how many neighbours are from other batches, relative to chance among all cells and within types."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(embedding).kneighbors(return_distance=False)
    share = (batches[near] != batches[:, None]).mean()
    others = [np.mean(batches != batch) for batch in batches]
    table = pd.crosstab(types, batches, normalize="index")
    of_types = [1 - table.loc[pair] for pair in zip(types, batches, strict=True)]
    chance = np.mean(of_types)
    return {"mixing": share / np.mean(others), "mixing_of_types": share / chance if chance else np.nan}


def scib(adata: ad.AnnData, embedding: np.ndarray) -> dict[str, float]:
    """Return the two scores that scib-metrics makes of its own."""
    from scib_metrics.benchmark import Benchmarker

    genes = variable_genes(adata, None)
    genes.obsm["found"] = embedding
    benchmark = Benchmarker(genes, "batch", "type", ["found"], n_jobs=1, progress_bar=False)
    benchmark.benchmark()
    row = benchmark.get_results(min_max_scale=False).loc["found"]
    return {"scib_bio": float(row["Bio conservation"]), "scib_batch": float(row["Batch correction"])}


def measure(dataset: str, arm: str, seed: int, with_scib: bool) -> dict[str, object]:
    """Return a row."""
    import scanpy as sc
    from sklearn.metrics import adjusted_rand_score

    warnings.simplefilter("ignore")
    sc.settings.verbosity = 0
    adata, types = read(dataset)
    _, batches = read(dataset, BATCHES[dataset])
    adata.obs["batch"] = pd.Categorical(batches)
    adata.obs["type"] = pd.Categorical(types)
    k = len(np.unique(types))
    warm = adata[:60].copy()
    warm.obs["batch"] = np.where(np.arange(60) % 2, "a", "b")
    if not arm.startswith(("scvi", "harmony")):
        embed(arm, warm, 2, 0)  # so that no row is charged for imports
    start = cpu_seconds()
    embedding, clusters = embed(arm, adata, k, seed)
    seconds = cpu_seconds() - start
    scores = {"ari": adjusted_rand_score(types, clusters), **mixing(embedding, batches, types), "seconds": seconds}
    if with_scib:
        scores |= scib(adata, embedding)
    numbers = {name: f"{value:.4g}" for name, value in scores.items()}
    return {"dataset": dataset, "arm": arm, "seed": seed} | numbers | {"scx": code_version()}


def found(path: Path, *, with_scib: bool) -> set[tuple[str, ...]]:
    """Return what the rows of a file are about."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {tuple(row[name] for name in KEY) for row in csv.DictReader(file) if row["scib_bio"] or not with_scib}


def main() -> None:
    arms = [f"{name}{told}" for name in ("contrastive", "cicl", "scvi", "harmony") for told in ("", ":batch")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", choices=list(BATCHES), default=list(BATCHES))
    parser.add_argument("--arms", nargs="+", default=arms)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--scib", action="store_true", help="also the scores of scib-metrics, which take longer")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        row = measure(*json.loads(args.task), args.scib)
        append(row, args.out, COLUMNS)
        print(*row.values(), flush=True)
        return
    for seed in args.seeds:
        for dataset in args.datasets:
            for arm in args.arms:
                if (dataset, arm, str(seed)) in found(args.out, with_scib=args.scib):
                    continue
                command = [sys.executable, __file__, "--task", json.dumps([dataset, arm, seed]), "--out", str(args.out)]
                subprocess.run(
                    [*command, *(["--scib"] if args.scib else [])],
                    env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
                    check=False,
                )


if __name__ == "__main__":
    main()
