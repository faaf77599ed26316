"""New cells: the same embedding mapped or trained, clusters of mapped cells, and unlike types left out.

    python benchmarks/mapping.py split    # train on 70 % of the cells, map 30 %
    python benchmarks/mapping.py novel    # train without one type, map it and held-back cells of the others

Both take ``--datasets``, ``--methods``, ``--seeds``. ``novel --peers pca_distance scanvi`` adds the distance to the 15
nearest cells in 20 principal components, and the uncertainty of scANVI.
"""

import argparse
import tempfile
import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import adjusted_rand_score, roc_auc_score

import scx
from data import read
from scx._methods import METHODS

NOVEL = {"pbmc_sorted": "subpop", "pollen": "cell_type", "mouse_bladder": "cell_type"}
"""Datasets of `novel`, and the column with their types."""
SPLIT = [
    "cellbench_5lines",
    "hashing_4lines",
    "mouse_bladder",
    "pbmc4k",
    "pbmc_citeseq",
    "pbmc_ifn_batches",
    "pbmc_sorted",
    "pollen",
    "worm_neuron",
]
SHARE = 0.7


def train(method, reference, types, seed, folder):
    """Train a method; semiaae gets all labels, the others the number of types."""
    reference.obs["_types"] = types
    kwargs = {"labels_key": "_types"} if method == "semiaae" else {"n_clusters": len(np.unique(types))}
    METHODS[method].function(reference, rng=seed, model_dir=folder, key_added="k", accelerator="cpu", **kwargs)


def mapped(adata, folder, **kwargs):
    return scx.tl.map_query(adata, folder, key_added="k", copy=True, **kwargs)


def split(name, method, seed):
    """Return the largest difference of an embedding, and the adjusted Rand indices."""
    adata, types = read(name, "cell_type")
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    known = np.sort(order[: int(SHARE * adata.n_obs)])
    reference, query = adata[known].copy(), np.setdiff1d(order, known)
    with tempfile.TemporaryDirectory() as temporary:
        train(method, reference, types[known], seed, f"{temporary}/model")
        again = mapped(adata[known].copy(), f"{temporary}/model")
        new = mapped(adata[query].copy(), f"{temporary}/model")
    trained_ari = adjusted_rand_score(types[known], reference.obs["k"])
    mapped_ari = adjusted_rand_score(types[query], new.obs["k_closest"])
    return {
        "difference": float(np.abs(again.obsm["X_k"] - reference.obsm["X_k"]).max()),
        "same_cluster": float((again.obs["k_closest"].astype(str) == reference.obs["k"].astype(str)).mean()),
        "trained_ari": trained_ari,
        "mapped_ari": mapped_ari,
        "unknown": float((new.obs["k"] == "Unknown").mean()),
    }


def left_out(name, column, novel, seed):
    """Return cells of training, held-back cells of the same types, and cells of the type left out."""
    adata, types = read(name, column)
    known = np.flatnonzero(types != novel)
    chosen = np.random.default_rng(seed).permutation(known)[: int(SHARE * len(known))]
    is_known = np.zeros(len(types), dtype=bool)
    is_known[chosen] = True
    query = np.flatnonzero(~is_known)
    return adata[is_known].copy(), types[is_known], adata[query].copy(), types[query] == novel


def novel(name, method, seed):
    """Return, for each type left out, how well its cells are told from held-back cells of known types."""
    column = NOVEL[name]
    for left in np.unique(read(name, column)[1]):
        reference, types, query, is_novel = left_out(name, column, left, seed)
        if method in METHODS:
            with tempfile.TemporaryDirectory() as temporary:
                train(method, reference, types, seed, f"{temporary}/model")
                result = mapped(query, f"{temporary}/model")
            score, unknown = result.obs["k_outlier_score"], result.obs["k"] == "Unknown"
            rates = {"false": unknown[~is_novel].mean(), "found": unknown[is_novel].mean()}
        else:
            score, rates = PEERS[method](reference, types, query, seed), {}
        yield {"left_out": left, "auroc": roc_auc_score(is_novel, score), **rates}


def pca_distance(reference, types, query, seed):
    """Mean distance to the 15 nearest cells of training in 20 principal components, as scanpy computes them."""
    from sklearn.neighbors import NearestNeighbors

    for adata in (reference, query):
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(reference, n_top_genes=2000)
    sc.pp.pca(reference, n_comps=20, random_state=seed)
    chosen = reference.var["highly_variable"].to_numpy()
    center = np.asarray(reference[:, chosen].X.mean(axis=0)).ravel()
    placed = (query[:, chosen].X.toarray() - center) @ reference.varm["PCs"][chosen]
    distances, _ = NearestNeighbors(n_neighbors=15).fit(reference.obsm["X_pca"]).kneighbors(placed)
    return distances.mean(axis=1)


def scanvi(reference, types, query, seed):
    """One minus the largest probability of a type, by scANVI."""
    import scvi

    scvi.settings.seed = seed
    counts = reference.copy()
    sc.pp.normalize_total(counts, target_sum=1e4)
    sc.pp.log1p(counts)
    sc.pp.highly_variable_genes(counts, n_top_genes=2000)
    chosen = counts.var["highly_variable"].to_numpy()
    reference, query = reference[:, chosen].copy(), query[:, chosen].copy()
    reference.obs["_types"] = types
    query.obs["_types"] = "Unknown"
    scvi.model.SCVI.setup_anndata(reference, labels_key="_types")
    base = scvi.model.SCVI(reference)
    base.train(accelerator="cpu", enable_progress_bar=False)
    model = scvi.model.SCANVI.from_scvi_model(base, "Unknown", labels_key="_types")
    model.train(20, accelerator="cpu", enable_progress_bar=False)
    return 1 - model.predict(query, soft=True).max(axis=1).to_numpy()


PEERS = {"pca_distance": pca_distance, "scanvi": scanvi}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["split", "novel"])
    parser.add_argument("--datasets", nargs="*")
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--out", help="CSV file for each result")
    arguments = parser.parse_args()
    sc.settings.verbosity = 0
    warnings.simplefilter("ignore")
    rows = []
    for name in arguments.datasets or (SPLIT if arguments.what == "split" else NOVEL):
        for method in [*arguments.methods, *(arguments.peers if arguments.what == "novel" else [])]:
            for seed in arguments.seeds:
                found = [split(name, method, seed)] if arguments.what == "split" else novel(name, method, seed)
                for result in found:
                    rows.append({"dataset": name, "method": method, "seed": seed, **result})
                    print(rows[-1], flush=True)
                    if arguments.out:
                        pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = pd.DataFrame(rows).groupby(["dataset", "method"]).mean(numeric_only=True).drop(columns="seed")
    print(table.round(3).to_string())
    print(table.groupby("method").mean().round(3).to_string())


if __name__ == "__main__":
    main()
