"""Neighbours that two dimensions keep of a manifold in nine, by number of neighbours: infovae beside t-SNE, every seed."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.manifold import TSNE

import scx
from scx._rng import global_seed

N_NEIGHBORS = tuple(range(100, 1501, 100))


def embed(seed: int) -> dict[str, np.ndarray]:
    adata = scx.datasets.polynomial_manifold(seed)
    with global_seed(seed):
        scx.model.InfoVAE.setup_anndata(adata)
        model = scx.model.InfoVAE(adata, likelihood="gaussian", n_latent=2, n_hidden=(128, 128), alpha=1.0, lambda_=0.1)
        model.train(enable_progress_bar=False)
    return {"infovae": model.get_latent_representation(), "t-SNE": TSNE(random_state=seed).fit_transform(adata.X)}


def draw(results: pd.DataFrame, path: Path) -> None:
    """Mean and standard deviation over seeds, by number of neighbours."""
    fig, ax = plt.subplots(figsize=(3.5, 2.6), layout="constrained")
    sns.lineplot(results, x="k", y="kNN preservation", hue="method", style="method", markers=True, errorbar="sd", ax=ax)
    ax.set(xlabel="number of neighbours K", ylabel="share of neighbours kept")
    ax.legend(title=None, frameon=False)
    sns.despine(fig)
    fig.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--out", type=Path, help="csv with one row per method, seed and number of neighbours")
    parser.add_argument("--figure", type=Path, help="picture of them")
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        adata = scx.datasets.polynomial_manifold(seed)
        for method, adata.obsm["X"] in embed(seed).items():
            kept = scx.metrics.knn_preservation(adata, "X", k=N_NEIGHBORS)
            rows += [(method, seed, k, share) for k, share in zip(N_NEIGHBORS, kept, strict=True)]
    results = pd.DataFrame(rows, columns=["method", "seed", "k", "kNN preservation"])
    if args.out:
        results.to_csv(args.out, index=False)
    if args.figure:
        draw(results, args.figure)
    print(results.pivot_table("kNN preservation", "method", "k", aggfunc=["mean", "std"]).round(3).T.to_string())


if __name__ == "__main__":
    main()
