"""Every plot, on fabricated cells, and what tests of plots share."""

import os
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from PIL import Image

import scx

IMAGES = Path(__file__).parent / "images"
TOLERANCE = 4
"""Root mean square of the difference, of 255. A missing legend or another palette is above 10."""
N_OBS = 240


def fabricated(n_clusters: int = 6, n_labels: int = 5, key: str = "mine") -> ad.AnnData:
    """Cells with everything that a method may write, made with numpy alone."""
    rng = np.random.default_rng(0)
    group = np.sort(np.arange(N_OBS) % n_clusters)
    angle = 2 * np.pi * group / n_clusters
    layout = 6 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.7, (N_OBS, 2))
    pure = 0.85 if n_clusters < 20 else 0.98
    labels = np.where(rng.random(N_OBS) < pure, group % n_labels, rng.integers(0, n_labels, N_OBS))
    names = [f"{kind} cell {i}" for i, kind in zip(range(n_labels), ["B", "T", "NK", "dendritic"] * 10, strict=False)]
    obs = pd.DataFrame(index=np.arange(N_OBS).astype(str))
    obs[key] = pd.Categorical.from_codes(group, [str(i) for i in range(n_clusters)])
    obs["type"] = pd.Categorical.from_codes(labels, names)
    obs["sample"] = np.where(group == 0, "donor 1", np.array(["donor 1", "donor 2", "donor 3"])[np.arange(N_OBS) % 3])
    obs[f"{key}_confidence"] = np.clip(rng.beta(6, 2, N_OBS) - 0.1 * (group % 3), 0, 1).astype(np.float32)
    obs[f"{key}_prediction"] = obs["type"].where(rng.random(N_OBS) < obs[f"{key}_confidence"], names[0])
    counts = rng.poisson(2.0, (N_OBS, 3)).astype(np.float32)
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=["gene0", "gene1", "gene2"]))
    adata.obsm[f"X_{key}"] = layout.astype(np.float32)
    adata.obsm["X_wide"] = np.hstack([layout, rng.normal(0, 1, (N_OBS, 4))]).astype(np.float32)
    adata.obsm["X_noise"] = rng.normal(0, 1, (N_OBS, 2)).astype(np.float32)
    scales = np.array([4.0, 2.0, 0.5])
    moments = layout[:, None] + scales[None, :, None] * rng.normal(0, 1, (N_OBS, 3, 2))
    adata.obsm[f"X_{key}_snapshots"] = moments.astype(np.float32)
    shuffled = [np.where(rng.random(N_OBS) < p, rng.integers(0, n_clusters, N_OBS), group) for p in (0.8, 0.3, 0.0)]
    adata.obsm[f"{key}_snapshots"] = (n_clusters - 1 - np.column_stack(shuffled)).astype(np.int32)
    epochs = np.arange(1, 41)
    tried = np.arange(2, 13)
    stability, separation = np.linspace(0.98, 0.6, 11), 0.6 - 0.02 * (tried - n_clusters) ** 2 / 4
    adata.uns[key] = {
        "scx_version": "0",
        "params": {"stopped_early": True},
        "history": {
            "loss": 3 + 4 * np.exp(-epochs / 8),
            "clustering_loss": np.where(epochs > 25, 0.5 + 1 / epochs, np.nan),
            "mmd": np.exp(-epochs / 10),
        },
        "phases": {"autoencoder": 1, "clustering": 26},
        "n_clusters": {
            "chosen": n_clusters,
            "reason": "for a reason",
            "tried": tried,
            "stability": stability,
            "separation": separation,
            "score": stability * separation,
        },
        "clusterings": {
            "embedding": np.array(
                ["pca", "pca", "contrastive", "contrastive", "contrastive + pca", "contrastive + pca"]
            ),
            "algorithm": np.array(["kmeans", "leiden"] * 3),
            "deviance_explained": np.array([0.11, 0.12, 0.14, 0.13, 0.145, 0.139]),
            "agreement": np.array([0.55, 0.6, 0.7, 0.62, 0.73, 0.66]),
            "score": np.array([0.61, 0.66, 0.77, 0.68, 0.8, 0.72]),
        },
        "snapshots": np.array([0, 5, 40]),
        "calibration": {
            "confidence": np.array([0.35, 0.55, 0.75, 0.95]),
            "accuracy": np.array([0.3, 0.4, 0.72, 0.9]),
            "n_cells": np.array([20, 40, 60, 120]),
            "ece": 0.0525,
        },
    }
    return adata


def results() -> pd.DataFrame:
    """Scores as a benchmark writes them, one method without one of the datasets."""
    rows = [
        {
            "method": method,
            "dataset": data,
            "seed": seed,
            "ARI": (base + 0.05 * seed + 0.07 * i) % 1,
            "seconds": 10 * base,
        }
        for method, base in [("three", 0.3), ("one", 0.6), ("two", 0.5)]
        for i, data in enumerate(["blood", "brain", "gut"])
        for seed in range(3)
        if (method, data) != ("two", "gut")
    ]
    return pd.DataFrame(rows)


PLOTS = {
    "embedding": lambda a, **kw: scx.pl.embedding(a, "mine", color=["mine", "type", "gene0"], **kw),
    "history": lambda a, **kw: scx.pl.history(a, "mine", **kw),
    "n_clusters": lambda a, **kw: scx.pl.n_clusters(a, "mine", **kw),
    "composition": lambda a, **kw: scx.pl.composition(a, "mine", "sample", **kw),
    "confidence": lambda a, **kw: scx.pl.confidence(a, "mine", **kw),
    "confusion": lambda a, **kw: scx.pl.confusion(a, "type", "mine", **kw),
    "count_evidence": lambda a, **kw: scx.pl.count_evidence(a, "mine", **kw),
    "flow": lambda a, **kw: scx.pl.flow(a, "type", "mine", **kw),
    "reliability": lambda a, **kw: scx.pl.reliability(a, "mine", **kw),
    "knn_preservation": lambda a, **kw: scx.pl.knn_preservation(
        a, {"mine": ["X_mine", "X_noise"], "wide": "X_wide"}, reference="X_wide", **kw
    ),
    "layouts": lambda a, **kw: scx.pl.layouts(a, {"a": ["X_mine", "X_noise"], "b": ["X_noise"]}, color="type", **kw),
    "clustering_over_training": lambda a, **kw: scx.pl.clustering_over_training(
        a, "mine", labels_key="type", max_cells=100, **kw
    ),
    "benchmark": lambda a, **kw: scx.pl.benchmark(results(), **kw),
}
N_PANELS = {
    "count_evidence": 2,
    "embedding": 3,
    "history": 3,
    "composition": 2,
    "confidence": 2,
    "layouts": 3,
    "clustering_over_training": 7,
    "benchmark": 2,
}
MANY = {
    "embedding_many": lambda a, **kw: scx.pl.embedding(a, "mine", **kw),
    "confidence_many": lambda a, **kw: scx.pl.confidence(a, "mine", on_embedding=False, **kw),
    "composition_many": lambda a, **kw: scx.pl.composition(a, "mine", "type", **kw),
    "confusion_many": lambda a, **kw: scx.pl.confusion(a, "type", "mine", **kw),
    "flow_many": lambda a, **kw: scx.pl.flow(a, "type", "mine", min_cells=2, **kw),
}
"""The same with 30 clusters and 24 labels."""


def assert_looks_like(fig: Figure, name: str, folder: Path) -> None:
    """Compare with the reference image; SCX_WRITE_IMAGES=1 writes it anew."""
    expected = IMAGES / f"{name}.png"
    if os.environ.get("SCX_WRITE_IMAGES"):
        fig.savefig(expected, pil_kwargs={"optimize": True})
        fewer = folder / "fewer.png"  # of 256 colours, a third of the size, unless they are too few
        Image.open(expected).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(fewer, optimize=True)
        if compare_images(str(expected), str(fewer), tol=1) is None:
            expected.write_bytes(fewer.read_bytes())
    actual = folder / f"{name}.png"
    fig.savefig(actual)
    difference = compare_images(str(expected), str(actual), tol=TOLERANCE)
    assert difference is None, difference


def assert_refused(call, says: str) -> None:
    """The call fails with a message that says what to do, and leaves no figure."""
    with pytest.raises(ValueError, match=re.escape(says)):
        call()
    assert plt.get_fignums() == []
