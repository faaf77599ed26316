"""Methods and everyday recipes on labelled datasets, the number of clusters given: every dataset, every seed.

The folder SCX_DATA holds one h5ad per dataset, raw counts in ``X`` and reference labels in ``obs["cell_type"]``, which are
read for the scores only. Clusters, embedding and seconds of every run are kept in --runs, where the other benchmarks find
them; a run that is there is not repeated. Seconds are of the processor, on one thread if OMP_NUM_THREADS=1 is set, so that they hold on a
busy machine too.

An arm of --arms is a baseline, or a method of scx with a recipe and arguments that it changes:
contrastive:default, cicl:default:cluster_weight=0, infovae:paper:max_epochs=100.
"""

import argparse
import ast
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from inspect import signature
from itertools import combinations
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

import scx
from scx._clustering.fit import fit_partition
from scx._methods import METHODS
from scx._rng import global_seed

FOLDER = Path(os.environ.get("SCX_DATA", "../shared/data"))
RUNS = Path("benchmark_runs")
SIMULATED = [f"simulated_{n_groups}_{kind}" for n_groups in (4, 8, 16, 32) for kind in ("balanced", "unbalanced")]
K_NEIGHBORS = 30
"""Neighbours of a cell that an embedding may keep, among 50 principal components of the data."""


@dataclass(frozen=True)
class Run:
    """What one run found, and the reference labels."""

    truth: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    embedding: np.ndarray
    seconds: float


def datasets() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.h5ad"))


def read(dataset: str) -> ad.AnnData:
    if dataset not in SIMULATED:
        return ad.read_h5ad(FOLDER / f"{dataset}.h5ad")
    _, n_groups, kind = dataset.split("_")
    # unbalanced: sizes fall geometrically, to a tenth of the first
    sizes = np.geomspace(1, 0.1 if kind == "unbalanced" else 1, int(n_groups))
    adata = scx.datasets.simulate(3000, 2000, group_probs=sizes / sizes.sum(), de_prob=0.2, de_scale=0.6)
    adata.obs["cell_type"] = adata.obs["group"]
    return adata


def variable_genes(adata: ad.AnnData) -> ad.AnnData:
    """Scanpy's standard workflow up to 2,000 highly variable genes."""
    adata = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=min(2000, adata.n_vars))
    return adata[:, adata.var["highly_variable"]].copy()


def principal_components(adata: ad.AnnData, n_comps: int) -> np.ndarray:
    """Scanpy's standard workflow up to the principal components."""
    adata = variable_genes(adata)
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=min(n_comps, min(adata.shape) - 1))
    return adata.obsm["X_pca"]


def scvi(adata: ad.AnnData, seed: int) -> np.ndarray:
    """SCVI as it comes, on 2,000 genes."""
    from scvi.model import SCVI

    adata = variable_genes(adata)
    with global_seed(seed):
        SCVI.setup_anndata(adata, layer="counts")
        model = SCVI(adata)
        model.train(enable_progress_bar=False)
        return model.get_latent_representation()


BASELINES: dict[str, tuple[Callable[[ad.AnnData, int], np.ndarray], str]] = {
    "pca50_kmeans": (lambda adata, seed: principal_components(adata, 50), "kmeans"),
    "pca20_leiden": (lambda adata, seed: principal_components(adata, 20), "leiden"),
    "scvi": (scvi, "kmeans"),
}
"""By name: AnnData, seed → embedding; and the algorithm that clusters it."""


def arguments_of(arm: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function and the keyword arguments that an arm such as ``cicl:default:cluster_weight=0,max_epochs=5`` stands for."""
    name, recipe, *changes = arm.split(":")
    changed: dict[str, Any] = {}
    if changes:
        pairs = ast.parse(f"f({changes[0]})", mode="eval").body.keywords  # type: ignore[attr-defined]
        changed = {pair.arg: ast.literal_eval(pair.value) for pair in pairs}
    method = METHODS[name]
    own = {name: changed.pop(name) for name in list(changed) if name in signature(method.function).parameters}
    schedule = asdict(method.model_cls.recipes[recipe].training)
    plan = {name: changed.pop(name) for name in list(changed) if name in schedule}
    return method.function, {"recipe": recipe, "model_kwargs": changed, "train_kwargs": {"plan_kwargs": plan}, **own}


def train(arm: str, adata: ad.AnnData, n_clusters: int, seed: int) -> ad.AnnData:
    """Return the AnnData as a method of scx annotates it under the key ``found``."""
    function, arguments = arguments_of(arm)
    return function(adata, n_clusters, rng=seed, key_added="found", copy=True, **arguments)


def run(arm: str, dataset: str, seed: int, folder: Path) -> Run:
    """Return a run that is in the folder, or else is done now and kept there."""
    path = folder / dataset / f"{arm}.{seed}.npz"
    if not path.exists():
        adata = read(dataset)
        truth = adata.obs["cell_type"].astype(str).to_numpy().astype(str)
        n_clusters = len(np.unique(truth))
        start = time.process_time()
        if arm in BASELINES:
            embed, algorithm = BASELINES[arm]
            embedding = embed(adata, seed)
            found = fit_partition(embedding, n_clusters, algorithm, seed)
            labels, confidence = found.labels, found.confidence
        else:
            annotated = train(arm, adata, n_clusters, seed)
            embedding = annotated.obsm["X_found"]
            labels = annotated.obs["found"].astype(int).to_numpy()
            confidence = annotated.obs["found_confidence"].to_numpy()
        seconds = time.process_time() - start
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, truth=truth, labels=labels, confidence=confidence, embedding=embedding, seconds=seconds)
    with np.load(path) as stored:
        return Run(**{**{name: stored[name] for name in stored}, "seconds": float(stored["seconds"])})


def accuracy(truth: np.ndarray, found: np.ndarray) -> float:
    """Share of cells in the type that the best one-to-one matching gives their cluster."""
    table = contingency_matrix(truth, found)
    return table[linear_sum_assignment(-table)].sum() / table.sum()


def scores(found: Run, reference: np.ndarray) -> dict[str, float]:
    """Score a run; `reference` is where the neighbours of the input are.

    NMI divides mutual information by the mean of both entropies, NMI (max) by the larger one, as the articles do.
    """
    pair = ad.AnnData(obsm={"X": found.embedding, "X_input": reference})
    return {
        "ARI": adjusted_rand_score(found.truth, found.labels),
        "NMI": normalized_mutual_info_score(found.truth, found.labels, average_method="arithmetic"),
        "NMI (max)": normalized_mutual_info_score(found.truth, found.labels, average_method="max"),
        "ACC": accuracy(found.truth, found.labels),
        "silhouette": silhouette_score(found.embedding, found.truth, sample_size=5000, random_state=0),
        "kNN preservation": scx.metrics.knn_preservation(pair, "X", reference="X_input", k=K_NEIGHBORS),
        "seconds": found.seconds,
    }


def stability(arm: str, dataset: str, seeds: list[int], folder: Path) -> float:
    """Mean ARI between the clusters of two seeds."""
    runs = [run(arm, dataset, seed, folder).labels for seed in seeds]
    return float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(runs, 2)] or np.nan))


def table(results: pd.DataFrame, score: str) -> str:
    """Datasets × arms, mean ± standard deviation over seeds, and the mean over datasets."""
    grouped = results.groupby(["dataset", "arm"], sort=False)[score]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    cells = mean.map("{:.3f}".format) + " ± " + spread.map("{:.3f}".format)
    cells.loc["mean"] = mean.mean().map("{:.3f}".format)
    lines = [
        [score, *cells.columns],
        ["---"] * (1 + len(cells.columns)),
        *([i, *row] for i, *row in cells.itertuples()),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark on these datasets takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=datasets())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder that keeps the runs")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    if not args.datasets:
        parser.exit(1, f"No datasets in {FOLDER}: set SCX_DATA to the folder of the labelled h5ad files.\n")
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    return args


def main() -> None:
    parser = arguments(__doc__)
    every = [f"{name}:{recipe}" for name in METHODS for recipe in ("default", "paper")]
    parser.add_argument("--arms", nargs="+", default=[*every, *BASELINES])
    args = parse(parser)

    def rows() -> Iterator[dict[str, Any]]:
        for dataset in args.datasets:
            reference = run("pca50_kmeans", dataset, 0, args.runs).embedding
            for arm in args.arms:
                for seed in args.seeds:
                    row = {"dataset": dataset, "arm": arm, "seed": seed}
                    row |= scores(run(arm, dataset, seed, args.runs), reference)
                    print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
                    yield row

    if any(":" in arm for arm in args.arms):  # imports are not charged to the first run
        scx.tl.contrastive(scx.datasets.pbmc68k_reduced(), 8, max_epochs=1)
    results = pd.DataFrame(rows())
    stable = {
        (dataset, arm): stability(arm, dataset, args.seeds, args.runs) for dataset in args.datasets for arm in args.arms
    }
    results["stability"] = [stable[cell] for cell in zip(results["dataset"], results["arm"], strict=True)]
    results.to_csv(args.runs / "results.csv", index=False)
    for score in results.columns[3:]:
        print(f"\n{table(results, score)}")


if __name__ == "__main__":
    main()
