from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from scx import _anndata
from scx._docs import document
from scx._types import typed
from scx.pl._kit.checks import check_cmap
from scx.pl._kit.colors import COLORS, SEQUENTIAL, text_color_on
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import TICK_TEXT, font_points, set_labels, text_width

FIELD = 0.42
"""Width in inches of a field of the matrix of scores."""


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
) -> PlotResult:
    """Draw scores of methods on datasets, mean and standard deviation over seeds, and ranks.

    The left panel shows the mean of each method on each dataset, with the standard deviation over
    seeds below it, and the mean over datasets. The right panel shows the rank of each method on
    each dataset (small dots; 1 is best) and its mean rank (large), which orders the methods. Means
    over datasets and ranks use only datasets on which every method has a score.

    Parameters
    ----------
    results
        One row per method, dataset and seed, with scores in columns.
    score
        Column with the score.
    method_key, dataset_key
        Columns with the names of methods and datasets.
    higher_is_better
        False for scores such as run times.
    methods
        Methods to draw, in this order; None for all, ordered by mean rank.
    cmap
        Colour map.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If a column or method does not exist, no score is a number, or another argument is invalid.

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
    scores = _check_columns(results, columns)
    check_cmap("cmap", cmap)
    grouped = results.assign(**{score: scores}).groupby([method_key, dataset_key], sort=False, observed=True)[score]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    if methods is not None:
        unknown = [name for name in methods if name not in mean.index]
        if unknown or len(set(methods)) < len(methods):
            held = ", ".join(map(repr, mean.index))
            msg = f"`methods` must list each method once, out of {held}; got {list(methods)}."
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
    matrix = FIELD * (n_datasets + 1.3)
    below = text_width(mean.columns) * 0.75
    size = (max(COLUMN_WIDTH, left + matrix + 1.3), 1.0 + below + max(0.34 * n_methods, 0.6))
    fig, axes = make_panels(ax, 1, 2 if has_ranks else 1, size=size, width_ratios=[matrix, 1.2] if has_ranks else [1])
    _draw_scores(axes[0, 0], mean, spread, complete, score, cmap)
    if has_ranks:
        _draw_ranks(axes[0, 1], ranks)
    return finish(fig, list(axes[0]), show, return_fig)


def _check_columns(results: pd.DataFrame, columns: Mapping[str, str]) -> NDArray[np.float64]:
    """Return the scores in `results`; raise unless the `columns`, by parameter, can be used."""
    for parameter, column in columns.items():
        if list(results.columns).count(column) != 1:
            held = ", ".join(map(repr, results.columns))
            msg = f"Unknown column, or several: `{parameter}={column!r}`. `results` holds {held}."
            raise ValueError(msg)
    if len(set(columns.values())) < len(columns):
        passed = ", ".join(map(repr, columns.values()))
        msg = f"`score`, `method_key` and `dataset_key` must be different columns, got {passed}."
        raise ValueError(msg)
    score, method_key, dataset_key = columns["score"], columns["method_key"], columns["dataset_key"]
    values = results[score]
    is_real = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values)
    scores = values.to_numpy(dtype=float, na_value=np.nan) if is_real else np.array([np.nan])
    if np.isnan(scores).all() or np.isinf(scores).any():
        msg = f"`score={score!r}`: the column must hold finite numbers, got {values.dtype}. Remove the other rows."
        raise ValueError(msg)
    for parameter in ("method_key", "dataset_key"):
        column = columns[parameter]
        _anndata.check_categories(parameter, column, f"results[{column!r}]", results[column])
    if not (results[[method_key, dataset_key]].notna().all(axis=1) & ~np.isnan(scores)).any():
        msg = f"No row of `results` has a score, a `{method_key=}` and a `{dataset_key=}`. Fill in the missing values."
        raise ValueError(msg)
    return scores


def _draw_scores(
    ax: Axes, mean: pd.DataFrame, spread: pd.DataFrame, complete: pd.Series, score: str, cmap: str | Colormap
) -> None:
    """Draw means as colours and numbers, methods × datasets, and their mean over datasets."""
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
            color = text_color_on(image, value)
            deviation = f"\n±{_short(float(deviations[row, col]))}" if np.isfinite(deviations[row, col]) else ""
            text = f"{_short(float(value))}{deviation}"
            ax.text(
                x, row + 0.5, text, ha="center", va="center", fontsize=font_points() * 0.9, color=color, linespacing=1.0
            )
        elif col < n_datasets:
            ax.text(x, row + 0.5, "–", ha="center", va="center", fontsize=TICK_TEXT, color="0.4")
    ax.invert_yaxis()
    ax.set_yticks(np.arange(n_methods) + 0.5, list(map(str, mean.index)))
    ticks = np.append(np.arange(n_datasets) + 0.5, n_datasets + 0.8)
    ax.set_xticks(ticks, [*map(str, mean.columns), "mean"], rotation=45, ha="right", rotation_mode="anchor")
    ax.spines[:].set_visible(False)
    set_labels(ax, title=f"{score}: mean ± s.d. over seeds")
    ax.tick_params(length=2)


def _draw_ranks(ax: Axes, ranks: pd.DataFrame) -> None:
    """Draw the rank of each method on each dataset, and the mean."""
    n_methods, n_datasets = ranks.shape
    for row, method_ranks in enumerate(ranks.to_numpy()):
        mean = method_ranks.mean()
        places, n = np.unique(method_ranks, return_counts=True)
        ax.scatter(places, np.full(len(places), row + 0.68), s=8 * n, color="0.55", linewidth=0)
        ax.scatter(mean, row + 0.36, s=34, color=COLORS[0], marker="D", edgecolor="white", linewidth=0.5, zorder=3)
        at_edge = mean > 0.75 * n_methods
        ax.annotate(
            f"{mean:.1f}",
            (mean, row + 0.36),
            xytext=(-5 if at_edge else 5, 0),
            textcoords="offset points",
            fontsize=TICK_TEXT,
            va="center",
            ha="right" if at_edge else "left",
        )
    ax.hlines(np.arange(1, n_methods), 0.5, n_methods + 0.5, color="0.85", linewidth=0.6)
    ax.set_ylim(n_methods, 0)
    ax.set_xlim(0.5, n_methods + 0.5)
    ax.set_xticks(_ticks(n_methods))
    ax.set_yticks([])
    despine(ax)
    ax.spines["left"].set_visible(False)
    set_labels(ax, title="rank", x=f"{n_datasets} datasets, mean ◆")


def _ticks(n: int) -> list[int]:
    """Return ticks for `n` ranks: all, or the first, the middle and the last."""
    return list(range(1, n + 1)) if n <= 6 else [1, (n + 1) // 2, n]


def _short(value: float) -> str:
    """Write a number with at most three significant digits, without a leading zero below 1."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.3g}"
    return f"{value:.2f}".replace("0.", ".", 1)
