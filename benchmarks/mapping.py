"""New cells: clusters of mapped cells, types left out of training, and types across samples.

    python benchmarks/mapping.py split      # train on 70 % of the cells, map 30 %
    python benchmarks/mapping.py novel      # the same without one type, which is mapped too
    python benchmarks/mapping.py samples    # train on one sample, map another

A row is appended to --out as it finishes; rows that the file has are not made again. ``tables.py`` writes the
tables of the documentation from them.

Arms are the methods; ``semiaae:labels`` is given the types of all cells of training, the others their number. Peers:
``pca20:distance`` is the mean distance to the 15 nearest cells of training in 20 principal components; ``scanvi`` is
SCANVI as it comes, whose score is one minus the largest probability of a type; ``scanvi:scarches`` is the same with
the architecture that scArches needs, trained on the new cells as well; ``logistic`` is logistic regression on scaled
expression, as in CellTypist.

Columns of a row: `part`, the type left out or the two samples; `difference`, the largest difference between the embedding of a cell of training and that of the
same cell mapped; `trained_ari` and `mapped_ari`, of the cells of training and of mapped ones; `false_alarms`, the
share of mapped cells of known types that are called unknown; `found`, the share of those of the type left out;
`auroc`, how well the score tells the two apart; `acc` and `macro_f1`, of predicted types.
"""

import argparse
import tempfile
import warnings
from itertools import permutations
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
from sklearn.metrics import accuracy_score, adjusted_rand_score, f1_score, roc_auc_score

import scx
from arms import train as train_peer
from arms import variable_genes
from data import UNLABELED, datasets, read
from run import append, code_version, rows
from scx._methods import METHODS
from scx._rng import global_seed

OUT = Path(__file__).parent / "mapping.csv"
KEY = ["what", "dataset", "arm", "seed", "part"]
SCORES = ["difference", "trained_ari", "mapped_ari", "auroc", "found", "false_alarms", "acc", "macro_f1"]
COLUMNS = [*KEY, *SCORES, "scx"]
NOVEL = {"pbmc_sorted": "subpop", "pollen": "cell_type", "mouse_bladder": "cell_type"}
"""Datasets of `novel`, and the column with their types: subtypes are no new types."""
SAMPLES = {"pbmc_ifn_batches": "sample_id"}
"""Datasets of `samples`, and the column with their samples."""
ARROW = " → "
SHARE = 0.7
"""Share of the cells to train on."""

type Scores = dict[str, float]


def fit(arm: str, reference: ad.AnnData, types: np.ndarray, seed: int, folder: str) -> None:
    """Train a method and save it."""
    name, _, labels = arm.partition(":")
    reference.obs["types"] = types
    kwargs = {"labels_key": "types"} if labels else {"n_clusters": len(np.unique(types))}
    METHODS[name].function(reference, rng=seed, model_dir=folder, key_added="found", accelerator="cpu", **kwargs)


def mapped(adata: ad.AnnData, folder: str) -> ad.AnnData:
    return scx.tl.map_query(adata, folder, key_added="found", copy=True)


def parts(known: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of training, drawn at random from the known ones, and all other cells."""
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(known))[: int(SHARE * known.sum())]
    return np.sort(chosen), np.setdiff1d(np.arange(len(known)), chosen)


# --- what is measured


def split(dataset: str, arm: str, seed: int, part: str) -> Scores:
    """Compare mapped cells with those of training."""
    adata, types = read(dataset)
    known, new = parts(np.ones(len(types), dtype=bool), seed)
    reference = adata[known].copy()
    with tempfile.TemporaryDirectory() as folder:
        fit(arm, reference, types[known], seed, f"{folder}/model")
        again, query = mapped(adata[known].copy(), f"{folder}/model"), mapped(adata[new].copy(), f"{folder}/model")
    return {
        "difference": np.abs(again.obsm["X_found"] - reference.obsm["X_found"]).max(),
        "trained_ari": adjusted_rand_score(types[known], reference.obs["found"]),
        "mapped_ari": adjusted_rand_score(types[new], query.obs["found_closest"]),
        "false_alarms": (query.obs["found"] == UNLABELED).mean(),
    }


def novel(dataset: str, arm: str, seed: int, part: str) -> Scores:
    """Leave a type out, and tell its cells from new cells of the other types."""
    adata, types = read(dataset, NOVEL[dataset])
    known, new = parts(types != part, seed)
    reference, query, is_novel = adata[known].copy(), adata[new].copy(), types[new] == part
    if arm in UNCERTAINTIES:
        return {"auroc": roc_auc_score(is_novel, UNCERTAINTIES[arm](reference, types[known], query, seed))}
    with tempfile.TemporaryDirectory() as folder:
        fit(arm, reference, types[known], seed, f"{folder}/model")
        query = mapped(query, f"{folder}/model")
    unknown = (query.obs["found"] == UNLABELED).to_numpy()
    return {
        "auroc": roc_auc_score(is_novel, query.obs["found_outlier_score"]),
        "found": unknown[is_novel].mean(),
        "false_alarms": unknown[~is_novel].mean(),
    }


def samples(dataset: str, arm: str, seed: int, part: str) -> Scores:
    """Train on one sample and predict the types of cells of another."""
    adata, types = read(dataset)
    _, sample = read(dataset, SAMPLES[dataset])
    known, new = (sample == name for name in part.split(ARROW))
    reference, query, scores = adata[known].copy(), adata[new].copy(), {}
    if arm in CLASSIFIERS:
        prediction = CLASSIFIERS[arm](reference, types[known], query, seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            fit(arm, reference, types[known], seed, f"{folder}/model")
            query = mapped(query, f"{folder}/model")
        prediction = query.obs["found_prediction"].to_numpy().astype(str)
        scores = {"false_alarms": (query.obs["found"] == UNLABELED).mean()}
    return scores | {
        "acc": accuracy_score(types[new], prediction),
        "macro_f1": f1_score(types[new], prediction, average="macro"),
    }


def parts_of(what: str, dataset: str) -> list[str]:
    """Return the parts that each arm has a row of."""
    if what == "split":
        return [""]
    names = np.unique(read(dataset, (NOVEL if what == "novel" else SAMPLES)[dataset])[1])
    return list(names) if what == "novel" else [f"{first}{ARROW}{second}" for first, second in permutations(names, 2)]


# --- peers


def pca_distance(reference: ad.AnnData, types: np.ndarray, query: ad.AnnData, seed: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    reference = variable_genes(reference)
    sc.pp.pca(reference, n_comps=20, random_state=seed)
    query = logged(query)[:, reference.var_names]
    placed = (query.X.toarray() - np.asarray(reference.X.mean(axis=0))) @ reference.varm["PCs"]
    distances, _ = NearestNeighbors(n_neighbors=15).fit(reference.obsm["X_pca"]).kneighbors(placed)
    return distances.mean(axis=1)


def logged(adata: ad.AnnData) -> ad.AnnData:
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def logistic(reference: ad.AnnData, types: np.ndarray, query: ad.AnnData, seed: int) -> np.ndarray:
    """Both samples are normalised to 10,000 counts, scaled as the first, and clipped, as in CellTypist."""
    from sklearn.linear_model import LogisticRegression

    reference, query = logged(reference).X.toarray(), logged(query).X.toarray()
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    deviation[deviation == 0] = 1
    reference, query = (np.minimum((values - mean) / deviation, 10) for values in (reference, query))
    return LogisticRegression(max_iter=1000, random_state=seed).fit(reference, types).predict(query).astype(str)


def with_counts(query: ad.AnnData, genes: ad.AnnData) -> ad.AnnData:
    """Return the genes of the reference of a peer, with counts where it has them."""
    query = query[:, genes.var_names].copy()
    query.layers["counts"] = query.X.copy()
    query.obs["types"] = UNLABELED
    return query


def scanvi(reference: ad.AnnData, types: np.ndarray, query: ad.AnnData, seed: int) -> np.ndarray:
    from scvi.model import SCANVI

    reference.obs["types"] = types
    genes = variable_genes(reference)
    with global_seed(seed):
        model = SCANVI.from_scvi_model(train_peer("scvi", genes), UNLABELED, labels_key="types")
        model.train(enable_progress_bar=False)
        proba = model.predict(with_counts(query, genes), soft=True)
    return 1 - proba.max(axis=1).to_numpy()


def scarches(reference: ad.AnnData, types: np.ndarray, query: ad.AnnData, seed: int) -> np.ndarray:
    """Query cells are a batch of their own; settings are those of the tutorial of scvi-tools."""
    from scvi.model import SCANVI, SCVI

    reference.obs["types"], reference.obs["sample"] = types, "reference"
    genes = variable_genes(reference)
    with global_seed(seed):
        SCVI.setup_anndata(genes, layer="counts", batch_key="sample")
        base = SCVI(
            genes, n_layers=2, use_layer_norm="both", use_batch_norm="none", encode_covariates=True, dropout_rate=0.2
        )
        base.train(enable_progress_bar=False)
        model = SCANVI.from_scvi_model(base, UNLABELED, labels_key="types")
        model.train(20, n_samples_per_label=100, enable_progress_bar=False)
        query = with_counts(query, genes)
        query.obs["sample"] = "query"
        moved = SCANVI.load_query_data(query, model)
        moved.train(100, plan_kwargs={"weight_decay": 0.0}, check_val_every_n_epoch=10, enable_progress_bar=False)
        return moved.predict(query).astype(str)


UNCERTAINTIES = {"pca20:distance": pca_distance, "scanvi": scanvi}
CLASSIFIERS = {"logistic": logistic, "scanvi:scarches": scarches}
MEASURES = {"split": split, "novel": novel, "samples": samples}
ARMS = {
    "split": [*METHODS, "semiaae:labels"],
    "novel": [*(name for name in METHODS if name != "semiaae"), "semiaae:labels", *UNCERTAINTIES],
    "samples": ["semiaae:labels", *CLASSIFIERS],
}
DATASETS = {"split": datasets(), "novel": list(NOVEL), "samples": list(SAMPLES)}


def found(path: Path) -> set[tuple[str, ...]]:
    """Return what the rows of a file are about."""
    return {tuple(row[name] for name in KEY) for row in rows(path)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(MEASURES))
    parser.add_argument("--datasets", nargs="+")
    parser.add_argument("--arms", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    for seed in args.seeds:
        for dataset in args.datasets or DATASETS[args.what]:
            for arm in args.arms or ARMS[args.what]:
                for part in parts_of(args.what, dataset):
                    task = [args.what, dataset, arm, str(seed), part]
                    if tuple(task) not in found(args.out):
                        scores = MEASURES[args.what](dataset, arm, seed, part)
                        numbers = {name: f"{value:.4g}" for name, value in scores.items()}
                        row = dict(zip(KEY, task, strict=True)) | numbers
                        append(row | {"scx": code_version()}, args.out, COLUMNS)
                        print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
