"""Every method on 700 real cells: a table, and a UMAP figure of clusters beside reference labels.

Run it with ``python -m scx.demo``. The figure is ``demo_output/umap.png`` in the current folder.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import scanpy as sc

import scx
from scx._methods import METHODS

FIGURE = Path("demo_output") / "umap.png"
LABELS = "bulk_labels"


def main() -> None:
    """Run every method, print a table of scores, and write the figure."""
    sc.settings.verbosity = 0  # no progress bars between the rows of the table
    adata = scx.datasets.pbmc68k_reduced()
    n_clusters = adata.obs[LABELS].nunique()
    print(f"{adata.n_obs} cells × {adata.n_vars} genes, {n_clusters} reference types\n")
    print(f"{'method':<14}{'clusters':>9}{'ARI':>8}{'NMI':>8}{'seconds':>9}", flush=True)
    fig, axes = plt.subplots(len(METHODS), 2, figsize=(11, 4 * len(METHODS)), squeeze=False)
    for (name, method), row in zip(METHODS.items(), axes, strict=True):
        start = time.perf_counter()
        method.function(adata, n_clusters)
        seconds = time.perf_counter() - start
        scores = scx.metrics.clustering_report(adata, LABELS, name).loc[name]
        print(f"{name:<14}{scores.n_clusters:>9.0f}{scores.ari:>8.3f}{scores.nmi:>8.3f}{seconds:>9.1f}", flush=True)
        sc.pp.neighbors(adata, use_rep=f"X_{name}")
        sc.tl.umap(adata)
        for ax, color, title in zip(
            row, (name, LABELS), (f"{name}: clusters", f"{name}: reference labels"), strict=True
        ):
            sc.pl.umap(adata, color=color, title=title, ax=ax, show=False, frameon=False)
    FIGURE.parent.mkdir(exist_ok=True)
    fig.tight_layout()
    fig.savefig(FIGURE, dpi=120)
    print("\nNMI: mutual information over the arithmetic mean of both entropies")
    print(f"UMAP of every embedding: {FIGURE.resolve()}")


if __name__ == "__main__":
    main()
