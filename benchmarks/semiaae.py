"""Types of unlabelled cells from the types of some: semi-supervised methods on labelled datasets.

    python benchmarks/semiaae.py --out semiaae.csv
    python benchmarks/semiaae.py --noise uniform closest --fractions 0.2 --out semiaae.csv
    python benchmarks/semiaae.py --novel --out novel.csv
    python benchmarks/semiaae.py --ablation --fractions 0.05 --out ablation.csv
    python benchmarks/semiaae.py --arms semiaae:default --fractions 0.05 --seeds {0..19} --out seeds.csv

All arms are given the same labelled cells: of each type the fraction, at least one; from 1 on, so many of each. Scores are of
unlabelled cells only. With --noise, every fifth given label is wrong: any other type, or the closest in principal components.
With --novel, each type in turn goes unlabelled, and is to be told by its confidence and to be a cluster of its own. Rows are
appended to --out as they come, and those that are there are not run again. A run of semiaae with a number that is not finite
ends in an error. Seconds are of the processor, without what the runs on a dataset share: the principal components of the
classifiers, and the SCVI that scANVI starts from.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, adjusted_rand_score, f1_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

import scx
from clustering import arguments, arguments_of, parse, principal_components, read, variable_genes
from scx._matrix import read_counts
from scx._rng import global_seed
from scx._workflow.keys import SIZE_FACTOR
from scx._workflow.prepare import prepare
from scx.model._semiaae.guidance import UNREACHED, reliability

KEYS = ["dataset", "arm", "fraction", "noise", "novel", "seed"]
SUBPOPULATIONS = {"pbmc_sorted": "subpop"}
"""Columns of labels to take in place of ``cell_type`` for new types."""


@dataclass(frozen=True)
class Found:
    """Predicted type, its confidence, and cluster of each cell."""

    prediction: np.ndarray
    confidence: np.ndarray
    clusters: np.ndarray


@lru_cache(maxsize=1)
def components(dataset: str) -> np.ndarray:
    return principal_components(read(dataset), 50)


@lru_cache(maxsize=1)
def scvi(dataset: str, seed: int) -> Any:
    """SCVI as it comes, on 2,000 genes."""
    from scvi.model import SCVI

    adata = variable_genes(read(dataset))
    with global_seed(seed):
        SCVI.setup_anndata(adata, layer="counts")
        model = SCVI(adata)
        model.train(enable_progress_bar=False)
    return model


def classifier(make: Callable[[int], Any]) -> Callable[..., Found]:
    """Arm of a classifier on 50 principal components; `make` is given the number of labelled cells."""

    def fit(adata: ad.AnnData, dataset: str, seed: int) -> Found:
        cells = adata.obsm["X_pca"]
        labeled = adata.obs["given"].notna().to_numpy()
        fitted = make(labeled.sum()).fit(cells[labeled], adata.obs["given"][labeled].astype(str))
        proba = fitted.predict_proba(cells)
        prediction = fitted.classes_[proba.argmax(axis=1)].astype(str)
        return Found(prediction, proba.max(axis=1), prediction)

    return fit


def semiaae(arm: str) -> Callable[..., Found]:
    def fit(adata: ad.AnnData, dataset: str, seed: int) -> Found:
        function, arguments = arguments_of(arm)
        function(adata, labels_key="given", rng=seed, **arguments)
        for numbers in (adata.obsm["X_semiaae"], adata.obsm["semiaae_proba"], adata.uns["semiaae"]["history"]["loss"]):
            if not np.isfinite(numbers).all():
                msg = f"{dataset}, seed {seed}: a value is not finite."
                raise FloatingPointError(msg)
        obs = adata.obs
        return Found(
            obs["semiaae_prediction"].to_numpy().astype(str),
            obs["semiaae_confidence"].to_numpy(),
            obs["semiaae"].to_numpy().astype(str),
        )

    return fit


def estimate(adata: ad.AnnData, dataset: str, seed: int) -> Found:
    """What the head of semiaae:default learns from, and no network."""
    counts = read_counts(adata, None)
    working = prepare(counts, adata, layer=None, mask_var=None, n_top_genes=2000, min_cells=1).adata
    working.obs["given"] = adata.obs["given"]
    with global_seed(seed):
        scx.model.SemiAAE.setup_anndata(working, size_factor_key=SIZE_FACTOR, labels_key="given")
        model = scx.model.SemiAAE(working)
        model._fit_normalization()
        found = model._guide(model._codes())
    prediction = np.array(model.types_)[found.target.argmax(axis=1)]
    confidence = found.target.max(axis=1) * np.minimum(found.reach / UNREACHED, 1)
    clusters = np.where(found.group >= 0, np.char.add("new_", (found.group + 1).astype(str)), prediction)
    return Found(prediction, confidence, clusters)


def scanvi(adata: ad.AnnData, dataset: str, seed: int) -> Found:
    """SCANVI as it comes, from an SCVI."""
    from scvi.model import SCANVI

    genes = variable_genes(adata)
    genes.obs["given"] = genes.obs["given"].astype(str).where(genes.obs["given"].notna(), "Unknown")
    with global_seed(seed):
        model = SCANVI.from_scvi_model(scvi(dataset, seed), "Unknown", labels_key="given", adata=genes)
        model.train(enable_progress_bar=False)
        proba = model.predict(soft=True)
    prediction = proba.columns.to_numpy().astype(str)[proba.to_numpy().argmax(axis=1)]
    return Found(prediction, proba.max(axis=1).to_numpy(), prediction)


ARMS: dict[str, Callable[..., Found]] = {
    "semiaae:default": semiaae("semiaae:default"),
    "semiaae:estimate": estimate,
    "semiaae:paper": semiaae("semiaae:paper"),
    "pca50_logistic": classifier(lambda n_labeled: LogisticRegression(max_iter=1000)),
    "pca50_knn": classifier(lambda n_labeled: KNeighborsClassifier(min(5, n_labeled), weights="distance")),
    "scanvi": scanvi,
}
PARTS = {
    "teacher": "guided=False",
    "adversary": "adversarial_weight=0.0",
    # without it, a phase of its own trains nothing
    "likelihood": "reconstruction_weight=0.0,pretraining_fraction=0.0",
}
"""Parts of the default recipe, and how each is left out."""
ABLATIONS = {
    "without " + ", ".join(left_out): "semiaae:default:" + ",".join(PARTS[part] for part in left_out)
    for n_parts in range(1, len(PARTS) + 1)
    for left_out in combinations(PARTS, n_parts)
}
ARMS |= {name: semiaae(arm) for name, arm in ABLATIONS.items()}


def labeled_cells(truth: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw the fraction of each type, at least one cell; from 1 on, so many cells of each."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(truth), dtype=bool)
    for name in np.unique(truth):
        cells = np.flatnonzero(truth == name)
        n_drawn = round(fraction * len(cells)) if fraction < 1 else min(int(fraction), len(cells))
        mask[rng.choice(cells, max(1, n_drawn), replace=False)] = True
    return mask


def with_errors(truth: np.ndarray, labeled: np.ndarray, kind: str, cells: np.ndarray, seed: int) -> np.ndarray:
    """Return the labels with every fifth of the given ones wrong."""
    if kind == "none":
        return truth
    rng = np.random.default_rng([seed, 1])
    names = np.unique(truth)
    means = np.stack([cells[truth == name].mean(axis=0) for name in names])
    distances = cdist(means, means)
    np.fill_diagonal(distances, np.inf)
    given = truth.copy()
    wrong = rng.choice(np.flatnonzero(labeled), round(labeled.sum() / 5), replace=False)
    for cell in wrong:
        own = np.searchsorted(names, truth[cell])
        given[cell] = names[distances[own].argmin()] if kind == "closest" else rng.choice(np.delete(names, own))
    return given


def run(row: dict[str, Any]) -> dict[str, float]:
    """Return the scores of one run."""
    adata = read(row["dataset"])
    novel = row["novel"]
    column = SUBPOPULATIONS.get(row["dataset"], "cell_type") if novel else "cell_type"
    truth = adata.obs[column].astype(str).to_numpy().astype(str)
    labeled = labeled_cells(truth, row["fraction"], row["seed"]) & (truth != novel)
    adata.obsm["X_pca"] = components(row["dataset"])
    given = with_errors(truth, labeled, row["noise"], adata.obsm["X_pca"], row["seed"])
    adata.obs["given"] = pd.Categorical(np.where(labeled, given, None))
    if row["arm"] == "scanvi":
        scvi(row["dataset"], row["seed"])
    start = time.process_time()
    found = ARMS[row["arm"]](adata, row["dataset"], row["seed"])
    seconds = time.process_time() - start
    truth, prediction, clusters, confidence = (
        values[~labeled] for values in (truth, found.prediction, found.clusters, found.confidence)
    )
    if novel:
        is_novel = truth == novel
        return {
            "AUROC": roc_auc_score(is_novel, -confidence),
            "cluster F1": max(f1_score(is_novel, clusters == name) for name in np.unique(clusters)),
            "seconds": seconds,
        }
    return {
        "ARI": adjusted_rand_score(truth, prediction),
        "F1": f1_score(truth, prediction, average="macro", labels=np.unique(truth), zero_division=0),
        "accuracy": accuracy_score(truth, prediction),
        "ARI of clusters": adjusted_rand_score(truth, clusters),
        "clusters": len(np.unique(clusters)),
        "ECE": reliability(confidence, prediction == truth)["ece"],
        "seconds": seconds,
    }


def rows(args: Any) -> Iterator[dict[str, Any]]:
    """Yield what is to be run."""
    for dataset in args.datasets:
        novel = [""]
        if args.novel:
            novel = sorted(read(dataset).obs[SUBPOPULATIONS.get(dataset, "cell_type")].astype(str).unique())
        settings = product(args.seeds, args.fractions, args.noise, novel, args.arms)
        for seed, fraction, noise, name, arm in settings:
            yield dict(zip(KEYS, (dataset, arm, fraction, noise, name, seed), strict=True))


def table(results: pd.DataFrame, score: str, by: list[str]) -> str:
    """Means over seeds: datasets × arms, and the mean over datasets."""
    means = results.groupby([*by, "dataset", "arm"], sort=False)[score].mean().unstack()
    overall = means.groupby(level=by).mean()
    return f"{means.round(3).to_string()}\n\nmean over datasets\n{overall.round(3).to_string()}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[arm for arm in ARMS if arm not in ABLATIONS])
    parser.add_argument("--ablation", action="store_true", help="the default recipe without each set of its parts")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.2, 0.05, 0.01])
    parser.add_argument("--noise", nargs="+", choices=["none", "uniform", "closest"], default=["none"])
    parser.add_argument("--novel", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="csv to which rows are appended")
    args = parse(parser)
    if args.ablation:
        args.arms = ["semiaae:default", *ABLATIONS]
    if args.novel:
        args.datasets = [name for name in args.datasets if name in ("pbmc_sorted", "pollen", "mouse_bladder")]
        args.fractions = args.fractions[:1]
    done = pd.read_csv(args.out, keep_default_na=False)[KEYS].astype(str) if args.out.exists() else pd.DataFrame()
    done = {tuple(row) for row in done.to_numpy()}
    for row in rows(args):
        if tuple(map(str, row.values())) in done:
            continue
        row |= run(row)
        pd.DataFrame([row]).to_csv(args.out, mode="a", header=not args.out.exists(), index=False)
        print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    results = pd.read_csv(args.out, keep_default_na=False)
    for score in results.columns[len(KEYS) :]:
        print(f"\n{score}\n{table(results, score, ['fraction', 'noise'])}")


if __name__ == "__main__":
    main()
