"""Figures of the documentation's page of benchmarks."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, studentized_range

STYLE = {
    "svg.hashsalt": "scx",
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Text stays text, and the same numbers give the same file."""


def critical_difference(scores: pd.DataFrame, alpha: float = 0.05) -> tuple[pd.Series, float, float]:
    """Return the mean ranks of arms, the critical difference of Nemenyi's test, and p of Friedman's.

    Demšar, Journal of Machine Learning Research 7 (2006). `scores` are datasets × arms without
    gaps, at least three arms; rank 1 is best.
    """
    n_datasets, n_arms = scores.shape
    ranks = pd.DataFrame(rankdata(-scores.to_numpy(), axis=1), columns=scores.columns).mean().sort_values(kind="stable")
    quantile = studentized_range.ppf(1 - alpha, n_arms, np.inf) / np.sqrt(2)
    difference = quantile * np.sqrt(n_arms * (n_arms + 1) / (6 * n_datasets))
    return ranks, float(difference), float(friedmanchisquare(*scores.to_numpy().T).pvalue)


def groups(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Return first and last of every longest run of sorted ranks that lie within the difference."""
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = int(np.searchsorted(ranks, rank + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def draw_critical_difference(scores: pd.DataFrame, path: Path) -> None:
    """Draw mean ranks; a bar joins arms whose ranks differ by less than the critical difference."""
    ranks, difference, _ = critical_difference(scores)
    n_arms = len(ranks)
    bars = groups(ranks.to_numpy(), difference)
    with mpl.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(5.5, 0.6 + 0.2 * n_arms), layout="constrained")
        names = np.arange(n_arms)
        ax.scatter(ranks, names, s=18, color="C0", zorder=3)
        ax.set_yticks(names, ranks.index)
        for i, (first, last) in enumerate(bars):
            x = [ranks.iloc[first], ranks.iloc[last]]
            ax.plot(x, [last + 0.28 + 0.12 * (i % 2)] * 2, color="0.35", lw=2, solid_capstyle="butt")
            ax.vlines(x, [first, last], last + 0.28 + 0.12 * (i % 2), color="0.8", lw=0.6, zorder=0)
        ax.set(ylim=(n_arms - 0.2, -0.8), xlim=(0.8, n_arms + 0.2))
        ax.set_xlabel(f"mean rank on {len(scores)} datasets (1 is best); critical difference {difference:.2f}")
        save(fig, path)


def draw_differences(gain: pd.DataFrame, against: str, path: Path) -> None:
    """Draw the difference of every arm to another on each dataset, and the mean."""
    gain = gain[gain.mean().sort_values().index]
    with mpl.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(5.5, 0.6 + 0.22 * gain.shape[1]), layout="constrained")
        for i, values in enumerate(gain.to_numpy().T):
            ax.scatter(values, np.full(len(values), i), s=9, color="0.6", linewidth=0)
            ax.scatter(np.nanmean(values), i, s=30, marker="D", color="C0", edgecolor="white", linewidth=0.5, zorder=3)
        ax.margins(y=0.15)
        ax.axvline(0, color="0.3", lw=0.7, zorder=0)
        ax.set_yticks(np.arange(gain.shape[1]), gain.columns)
        ax.set_xlabel(f"ARI − ARI of {against}: each dataset, and the mean (◆)")
        save(fig, path)


def save(fig: plt.Figure, path: Path) -> None:
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)
