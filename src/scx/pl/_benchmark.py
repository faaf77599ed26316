from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from scx import _anndata
from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import (
    COLORS,
    COLUMN,
    SEQUENTIAL,
    TINY,
    Drawn,
    check_cmap,
    finish,
    ink_on,
    label,
    make_panels,
    plain,
    plot,
    points,
    text_width,
)


@document
@typed
@plot
def benchmark(
    results: pd.DataFrame,
    score: str = "ARI",
    *,
    method_key: str = "method",
    dataset_key: str = "dataset",
    higher_is_better: bool = True,
    methods: Sequence[str] | None = None,
    cmap: str | Colormap = SEQUENTIAL,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Drawn:
    """Draw scores of methods on datasets: mean and standard deviation over seeds, and the ranks of the methods.

    The left panel has the mean of each method on each dataset, the standard deviation over seeds beneath it, and the mean over
    datasets; the right one the rank of each method on each dataset (small dots; 1 is best) and the mean rank (large), by which
    methods are ordered. Means over datasets and ranks are over those datasets that every method has a score on.

    Parameters
    ----------
    results
        One row per method, dataset and seed, with their scores in columns.
    score
        Column with the score.
    method_key, dataset_key
        Columns with the names of methods and datasets.
    higher_is_better
        False for scores such as seconds.
    methods
        Methods to draw, in this order; None for all, by their mean rank.
    cmap
        Colour map.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If a column or method is not there, no score is a number, or another argument cannot be used.

    Examples
    --------
    >>> import numpy as np, pandas as pd, scx
    >>> rng = np.random.default_rng(0)
    >>> results = pd.DataFrame(
    ...     [
    ...         {"method": method, "dataset": dataset, "seed": seed, "ARI": rng.normal(mean, 0.05)}
    ...         for method, mean in [("one", 0.8), ("two", 0.7), ("three", 0.5)]
    ...         for dataset in ["blood", "brain", "gut", "skin"]
    ...         for seed in range(3)
    ...     ]
    ... )
    >>> scx.pl.benchmark(results)
    """
    columns = {"score": score, "method_key": method_key, "dataset_key": dataset_key}
    for name, column in columns.items():
        if list(results.columns).count(column) != 1:
            msg = f"Unknown column, or several: `{name}={column!r}`. `results` holds {', '.join(map(repr, results.columns))}."
            raise ValueError(msg)
    if len(set(columns.values())) < len(columns):
        msg = f"`score`, `method_key` and `dataset_key` must be different columns, got {', '.join(map(repr, columns.values()))}."
        raise ValueError(msg)
    values = results[score]
    is_real = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values)
    scores = values.to_numpy(dtype=float, na_value=np.nan) if is_real else np.array([np.nan])
    if np.isnan(scores).all() or np.isinf(scores).any():
        msg = f"`score={score!r}`: the column must hold finite numbers, got {values.dtype}. Leave other rows out."
        raise ValueError(msg)
    for name in ("method_key", "dataset_key"):
        column = columns[name]
        _anndata.check_categories(name, column, f"results[{column!r}]", results[column])
    if not (results[[method_key, dataset_key]].notna().all(axis=1) & ~np.isnan(scores)).any():
        msg = f"No row of `results` has a score, a `{method_key=}` and a `{dataset_key=}`. Fill in what is missing."
        raise ValueError(msg)
    check_cmap("cmap", cmap)
    grouped = results.assign(**{score: scores}).groupby([method_key, dataset_key], sort=False, observed=True)[score]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    if methods is not None:
        unknown = [name for name in methods if name not in mean.index]
        if unknown or len(set(methods)) < len(methods):
            held = ", ".join(map(repr, mean.index))
            msg = f"`methods` must list different ones of {held}; got {list(methods)}."
            raise ValueError(msg)
        mean = mean.loc[list(methods)]
    complete = mean.notna().all()
    ranks = mean.loc[:, complete].rank(ascending=not higher_is_better)
    if methods is None:
        by = ranks.mean(axis=1) if complete.any() else mean.mean(axis=1).rank(ascending=not higher_is_better)
        mean = mean.loc[by.sort_values(kind="stable").index]
    spread, ranks = spread.loc[mean.index], ranks.loc[mean.index]

    n_methods, n_datasets = mean.shape
    has_ranks = bool(complete.any()) and n_methods > 1
    left = text_width(mean.index) + 0.3
    field = 0.42
    matrix = field * (n_datasets + 1.3)
    below = text_width(mean.columns) * 0.75
    size = (max(COLUMN, left + matrix + 1.3), 1.0 + below + max(0.34 * n_methods, 0.6))
    fig, axes = make_panels(ax, 1, 2 if has_ranks else 1, size=size, width_ratios=[matrix, 1.2] if has_ranks else [1])
    _draw_scores(axes[0, 0], mean, spread, complete, score, cmap)
    if has_ranks:
        _draw_ranks(axes[0, 1], ranks)
    return finish(fig, list(axes[0]), show, return_fig)


def _draw_scores(
    ax: Axes, mean: pd.DataFrame, spread: pd.DataFrame, complete: pd.Series, score: str, cmap: str | Colormap
) -> None:
    """Draw means as colours and numbers, methods × datasets, and the mean over the datasets that are complete."""
    n_methods, n_datasets = mean.shape
    overall = mean.loc[:, complete].mean(axis=1)
    values = np.column_stack([mean.to_numpy(), np.full(n_methods, np.nan), overall.to_numpy()])
    edges = np.append(np.arange(n_datasets + 1), [n_datasets + 0.3, n_datasets + 1.3])
    image = ax.pcolormesh(
        edges, np.arange(n_methods + 1), np.ma.masked_invalid(values), cmap=cmap, edgecolors="white", linewidth=0.5
    )
    deviations = np.column_stack([spread.to_numpy(), np.full((n_methods, 2), np.nan)])
    for (row, col), value in np.ndenumerate(values):
        x = (edges[col] + edges[col + 1]) / 2
        if np.isfinite(value):
            color = ink_on(image, value)
            deviation = f"\n±{_short(float(deviations[row, col]))}" if np.isfinite(deviations[row, col]) else ""
            text = f"{_short(float(value))}{deviation}"
            ax.text(x, row + 0.5, text, ha="center", va="center", fontsize=points() * 0.9, color=color, linespacing=1.0)
        elif col < n_datasets:
            ax.text(x, row + 0.5, "–", ha="center", va="center", fontsize=TINY, color="0.4")
    ax.invert_yaxis()
    ax.set_yticks(np.arange(n_methods) + 0.5, list(map(str, mean.index)))
    ticks = np.append(np.arange(n_datasets) + 0.5, n_datasets + 0.8)
    ax.set_xticks(ticks, [*map(str, mean.columns), "mean"], rotation=45, ha="right", rotation_mode="anchor")
    ax.spines[:].set_visible(False)
    label(ax, title=f"{score}: mean ± s.d. over seeds")
    ax.tick_params(length=2)


def _draw_ranks(ax: Axes, ranks: pd.DataFrame) -> None:
    """Draw the rank of each method on each dataset, and the mean."""
    n_methods, n_datasets = ranks.shape
    for row, each in enumerate(ranks.to_numpy()):
        places, n = np.unique(each, return_counts=True)
        ax.scatter(places, np.full(len(places), row + 0.68), s=8 * n, color="0.55", linewidth=0)
        ax.scatter(
            each.mean(), row + 0.36, s=34, color=COLORS[0], marker="D", edgecolor="white", linewidth=0.5, zorder=3
        )
        at_edge = each.mean() > 0.75 * n_methods
        ax.annotate(
            f"{each.mean():.1f}",
            (each.mean(), row + 0.36),
            xytext=(-5 if at_edge else 5, 0),
            textcoords="offset points",
            fontsize=TINY,
            va="center",
            ha="right" if at_edge else "left",
        )
    ax.hlines(np.arange(1, n_methods), 0.5, n_methods + 0.5, color="0.85", linewidth=0.6)
    ax.set_ylim(n_methods, 0)
    ax.set_xlim(0.5, n_methods + 0.5)
    ax.set_xticks(_ticks(n_methods))
    ax.set_yticks([])
    plain(ax)
    ax.spines["left"].set_visible(False)
    label(ax, title="rank", x=f"{n_datasets} datasets, mean ◆")


def _ticks(n: int) -> list[int]:
    return list(range(1, n + 1)) if n <= 6 else [1, (n + 1) // 2, n]


def _short(value: float) -> str:
    """Write a number with three significant digits at most, without a leading zero below 1."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.3g}"
    return f"{value:.2f}".replace("0.", ".", 1)
