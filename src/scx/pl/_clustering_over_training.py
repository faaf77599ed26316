from collections.abc import Hashable, Mapping, Sequence
from itertools import chain, cycle, islice
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scanpy.plotting.palettes import default_20, default_102

from scx import _anndata, _checks, metrics
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_clusters, read_labels, read_snapshots
from scx.pl._kit.cells import draw_cells, naming_scanpy_options
from scx.pl._kit.checks import check_scanpy_options, check_seed
from scx.pl._kit.colors import line_styles, match_colors, palette_name, read_colors
from scx.pl._kit.layout import MIN_UMAP_CELLS, compute_umap
from scx.pl._kit.legends import legend_of_colors, legend_width
from scx.pl._kit.matching import matched_counts
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import TICK_TEXT, set_labels

PANEL = 1.3
"""Width and height of a panel in inches."""
SCORES_HEIGHT = 1.3
"""Height of the panel with scores in inches."""
SCORES = {"ari": "ARI", "nmi": "NMI", "acc": "ACC"}
"""Scores against labels, as :func:`scx.metrics.clustering_report` names them."""


@document
@typed
@plot
def clustering_over_training(
    adata: AnnData,
    key: str,
    *,
    labels_key: str | None = None,
    epochs: Sequence[int] | None = None,
    max_cells: int = 3000,
    rng: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> PlotResult:
    """Draw how clusters form in training: layouts and clusters after some epochs, and their scores.

    As figures 3 and 4 of :cite:t:`Jiang2023`. Each layout is a UMAP of the embedding of an epoch.
    It starts from the layout before, so that cells can be followed. Clusters of an epoch are
    matched one to one with the final clusters with which they share most cells, and take their
    colours.

    Parameters
    ----------
    adata
        Cells × genes, with the result of a method that was called with
        ``train_kwargs={"snapshot_epochs": [...]}``.
    key
        Name under which the method wrote, its `key_added`.
    labels_key
        Column of ``obs`` with reference labels. It adds a row of panels coloured by labels, and
        the scores of the clusters over epochs: adjusted Rand index (ARI), mutual information
        divided by the mean entropy (NMI), and accuracy (ACC).
    epochs
        Epochs with a panel; None for all snapshots. Scores always use all snapshots.
    max_cells
        Maximum number of cells to draw; a random sample is drawn if there are more. Scores always
        use all cells.
    rng
        Seed of the sample and of the UMAPs.
    {plot_parameters}
    **kwargs
        Arguments of :func:`scanpy.pl.embedding`.

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If there are no snapshots under `key` (the message has the call that keeps them), or the
        labels or epochs do not exist.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8, train_kwargs={"snapshot_epochs": [0, 1, 3, 10, 30]})
    >>> scx.pl.clustering_over_training(adata, "contrastive", labels_key="bulk_labels")
    """
    check_seed(rng)
    _checks.check_positive_int("max_cells", max_cells, minimum=MIN_UMAP_CELLS)
    _anndata.check_some_cells(adata, MIN_UMAP_CELLS)
    check_scanpy_options(adata, kwargs, all_cells=False)
    snapshots = read_snapshots(adata, key)
    for epoch in snapshots.epochs if epochs is None else epochs:
        _checks.check_key("epochs", epoch, f"uns[{key!r}]['snapshots']", snapshots.epochs)
    labels = None if labels_key is None else read_labels(adata, labels_key)
    chosen = [i for i, epoch in enumerate(snapshots.epochs) if epochs is None or epoch in epochs]

    cells = np.sort(np.random.default_rng(rng).permutation(adata.n_obs)[:max_cells])
    final = read_clusters(adata, key)
    clusters = _matched_to_final(snapshots.clusters, final)
    drawn_cells = AnnData(obs=pd.DataFrame(index=adata.obs_names[cells]))
    colored_by = {key: clusters[0]}
    if labels_key is not None and labels is not None:
        colored_by[labels_key] = labels
        drawn_cells.obs[labels_key] = labels.iloc[cells]
    match_colors(adata, list(colored_by))
    colors = {column: read_colors(adata, column) for column in colored_by}
    colors[key] = _cluster_colors(colors[key], final, clusters[0])
    for column, values in colored_by.items():
        drawn_cells.uns[palette_name(column)] = [colors[column][name] for name in values.cat.categories]

    names = {column: list(values.cat.categories) for column, values in colored_by.items()}
    beside = max(legend_width(each, PANEL) for each in names.values())
    heights = [PANEL] * len(colored_by) + [SCORES_HEIGHT] * (labels is not None)
    size = (max(COLUMN_WIDTH, PANEL * len(chosen) + beside + 0.3), sum(heights) + 0.9)
    n_wide = len(heights) - len(colored_by)
    fig, axes = make_panels(ax, len(heights), len(chosen), size=size, n_wide=n_wide, height_ratios=heights)
    layout = None
    with naming_scanpy_options(kwargs):
        for col, i in enumerate(chosen):
            layout = compute_umap(snapshots.embeddings[cells, i], start=layout, rng=rng)
            drawn_cells.obs[key] = pd.Categorical(clusters[i].iloc[cells])
            for row, column in enumerate(colored_by):
                panel = axes[row, col]
                draw_cells(
                    panel, drawn_cells, "umap", layout, column, title="", height=PANEL, legend_loc="none", **kwargs
                )
                epoch = snapshots.epochs[i]
                title = ("before training" if epoch == 0 else f"epoch {epoch}") if row == 0 else ""
                set_labels(panel, title=title, x="", y=f"{column}\n(UMAP)" if col == 0 else "")
                if col == len(chosen) - 1:
                    legend_of_colors(panel, {name: colors[column][name] for name in names[column]}, PANEL)
        panels = list(axes[: len(colored_by)].flat)
        if labels_key is not None and labels is not None:
            _draw_scores(axes[-1, 0], labels_key, labels, snapshots.epochs, clusters)
            panels.append(axes[-1, 0])
        return finish(fig, panels, show, return_fig)


def _matched_to_final(codes: NDArray[np.integer], final: pd.Series) -> list[pd.Series]:
    """Return the clusters of each epoch, named after the final clusters that they match.

    Clusters without a match are named +1, +2 and so on.

    Parameters
    ----------
    codes
        Cluster of each cell after each epoch, shape (n_cells, n_epochs).
    final
        Final cluster of each cell; NaN where it has none.
    """
    names = []
    for column in codes.T:
        clusters = pd.Series(pd.Categorical(column), index=final.index)
        table = matched_counts(clusters, final)
        pairs = dict(zip(table.index, map(str, table.columns), strict=False))
        # clusters beyond the final number, or with cells that have no final cluster
        unmatched = [*table.index[len(pairs) :], *clusters.cat.categories.difference(table.index)]
        names.append({**pairs, **{code: f"+{i + 1}" for i, code in enumerate(unmatched)}})
    categories = list(dict.fromkeys(chain(map(str, final.cat.categories), *(each.values() for each in names))))
    return [
        pd.Series(pd.Categorical([each[code] for code in column], categories=categories), index=final.index)
        for column, each in zip(codes.T, names, strict=True)
    ]


def _cluster_colors(final_colors: Mapping[Hashable, str], final: pd.Series, clusters: pd.Series) -> dict[Hashable, str]:
    """Return the colours of all clusters: final ones keep theirs, others get different ones."""
    own = [final_colors[name] for name in final.cat.categories]
    free = cycle(color for color in [*default_20, *default_102] if color not in own)
    names = clusters.cat.categories
    return dict(zip(names, [*own, *islice(free, len(names) - len(own))], strict=True))


def _draw_scores(ax: Axes, labels_key: str, labels: pd.Series, epochs: list[int], clusters: list[pd.Series]) -> None:
    """Draw the scores of the clusters against the labels over epochs."""
    columns = {str(epoch): each.to_numpy() for epoch, each in zip(epochs, clusters, strict=True)}
    cells = AnnData(obs=pd.DataFrame({**columns, "labels": labels.to_numpy()}, index=labels.index))
    report = metrics.clustering_report(cells, "labels", list(columns))
    for (score, name), style in zip(SCORES.items(), line_styles(len(SCORES)), strict=True):
        ax.plot(epochs, report[score], label=name, **style)
    ax.set_ylim(min(0, report[list(SCORES)].to_numpy().min()), 1.02)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    despine(ax)
    set_labels(ax, x="epoch", y=f"agreement with\n{labels_key}")
    ax.legend(fontsize=TICK_TEXT, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=2.8)
