from collections.abc import Sequence
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
from scx._workflow.keys import Keys
from scx.pl._kit.figure import (
    COLUMN,
    TINY,
    Drawn,
    finish,
    label,
    legend_of,
    legend_width,
    make_panels,
    match_colors,
    matched,
    method_of,
    plain,
    plot,
    read_categories,
    read_colors,
    read_record,
    styles,
)
from scx.pl._kit.scatter import MIN_UMAP_CELLS, check_options, check_seed, draw_cells, passing_on, umap

PANEL = 1.3
"""Width and height of a panel in inches."""
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
) -> Drawn:
    """Draw how clusters form in training: layouts and clusters after some epochs, and scores where there are labels.

    Figures 3 and 4 of :cite:t:`Jiang2023`. Each layout is a UMAP of the embedding of that epoch, which starts from the one before, so that
    cells can be followed. Each cluster has the colour of the final one that it shares most cells with, one to one.

    Parameters
    ----------
    adata
        Cells × genes, with the result of a method that was called with ``train_kwargs={"snapshot_epochs": [...]}``.
    key
        Name under which the method wrote, its `key_added`.
    labels_key
        Column of ``obs`` with reference labels: adds a row of panels coloured by them, and the adjusted Rand index (ARI),
        mutual information (NMI, over the mean entropy) and accuracy (ACC) of the clusters over epochs.
    epochs
        Epochs with a panel; None for all that were kept. The scores are of all that were kept.
    max_cells
        Cells that are drawn, a random sample of more. The scores are of all.
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
        If no snapshots were kept under `key`, with the call that keeps them, or there are no such labels or epochs.

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
    check_options(adata, kwargs, every_cell=False)
    kept, codes, embeddings = _read_snapshots(adata, key)
    for epoch in kept if epochs is None else epochs:
        _checks.check_key("epochs", epoch, f"uns[{key!r}]['snapshots']", kept)
    if labels_key is not None:
        read_categories(adata, labels_key)
    shown = [i for i, epoch in enumerate(kept) if epochs is None or epoch in epochs]

    cells = np.sort(np.random.default_rng(rng).permutation(adata.n_obs)[:max_cells])
    final = read_categories(adata, Keys(key).clusters, what="key")
    clusters = _named_as_the_last(codes, final)
    light = AnnData(obs=pd.DataFrame(index=adata.obs_names[cells]))
    rows = [key] if labels_key is None else [key, labels_key]
    match_colors(adata, rows)
    own = [read_colors(adata, key)[name] for name in final.cat.categories]
    free = cycle(color for color in [*default_20, *default_102] if color not in own)
    light.uns[f"{key}_colors"] = [*own, *islice(free, len(clusters[0].cat.categories) - len(own))]
    if labels_key is not None:
        light.obs[labels_key] = read_categories(adata, labels_key).iloc[cells]
        light.uns[f"{labels_key}_colors"] = [
            read_colors(adata, labels_key)[name] for name in light.obs[labels_key].cat.categories
        ]

    names = {row: list((clusters[0] if row == key else light.obs[row]).cat.categories) for row in rows}
    beside = max(legend_width(each, PANEL) for each in names.values())
    width = max(COLUMN, PANEL * len(shown) + beside + 0.3)
    heights = [PANEL] * len(rows) + [1.3] * (labels_key is not None)
    n_wide = len(heights) - len(rows)
    size = (width, sum(heights) + 0.9)
    fig, axes = make_panels(ax, len(heights), len(shown), size=size, n_wide=n_wide, height_ratios=heights)
    lines = list(axes[: len(rows)])

    layout = None
    with passing_on(kwargs):
        for column, i in enumerate(shown):
            layout = umap(embeddings[cells, i], start=layout, rng=rng)
            light.obs[key] = clusters[i].iloc[cells].to_numpy()
            light.obs[key] = light.obs[key].astype(clusters[i].dtype)
            for line, row in zip(lines, rows, strict=True):
                panel = line[column]
                draw_cells(panel, light, "umap", layout, row, title="", height=PANEL, legend_loc="none", **kwargs)
                title = ("before training" if kept[i] == 0 else f"epoch {kept[i]}") if line is lines[0] else ""
                label(panel, title=title, x="", y=f"{row}\n(UMAP)" if column == 0 else "")
                if column == len(shown) - 1:
                    legend_of(panel, {name: read_colors(light, row)[name] for name in names[row]}, PANEL)
        drawn = [panel for line in lines for panel in line]
        if labels_key is not None:
            _draw_scores(axes[-1, 0], adata, labels_key, kept, clusters)
            drawn.append(axes[-1, 0])
        return finish(fig, drawn, show, return_fig)


def _read_snapshots(adata: AnnData, key: str) -> tuple[list[int], NDArray, NDArray]:
    """Return what was kept of a training; raise unless it is there and fits together.

    Returns
    -------
    Epochs; codes of clusters, shape (n_cells, n_epochs); embeddings, shape (n_cells, n_epochs, n_dims).
    """
    record, names = read_record(adata, key), (Keys(key).snapshot_clusters, Keys(key).snapshot_embeddings)
    if "snapshots" not in record or not all(name in adata.obsm for name in names):
        call = f'{method_of(key).removesuffix(")")}, train_kwargs={{"snapshot_epochs": [0, 5, 20]}})'
        msg = f"No snapshots were kept of the training under `key={key!r}`. Have them kept with `{call}`."
        raise ValueError(msg)
    _checks.check_curve(f"uns[{key!r}]['snapshots']", record["snapshots"])
    kept = [int(epoch) for epoch in record["snapshots"]]
    codes, embeddings = (np.asarray(adata.obsm[name]) for name in names)
    for name, values, kinds, dims in zip(names, (codes, embeddings), ("iu", "f"), ("", " × dimensions"), strict=True):
        is_shaped = values.ndim == 2 + bool(dims) and values.shape[1] == len(kept) and values.size > 0
        if not is_shaped or values.dtype.kind not in kinds or not np.isfinite(values).all():
            msg = (
                f"`adata.obsm[{name!r}]` must hold finite numbers, cells × {len(kept)} epochs{dims}, as `adata.uns[{key!r}]` says; "
                f"got shape {values.shape} of {values.dtype}. It was changed: run the method behind `key` again."
            )
            raise ValueError(msg)
    return kept, codes, embeddings


def _named_as_the_last(codes: np.ndarray, final: pd.Series) -> list[pd.Series]:
    """Return the clusters of each epoch under the names of the final ones that they are paired with, or +1, +2 and so on."""
    names = []
    for column in codes.T:
        clusters = pd.Series(pd.Categorical(column), index=final.index)
        table = matched(clusters, final)
        pairs = dict(zip(table.index, map(str, table.columns), strict=False))
        # more clusters than there were in the end, or of cells that have none in the end
        alone = [*table.index[len(pairs) :], *clusters.cat.categories.difference(table.index)]
        names.append({**pairs, **{code: f"+{i + 1}" for i, code in enumerate(alone)}})
    categories = list(dict.fromkeys(chain(map(str, final.cat.categories), *(each.values() for each in names))))
    return [
        pd.Series(pd.Categorical([each[code] for code in column], categories=categories), index=final.index)
        for column, each in zip(codes.T, names, strict=True)
    ]


def _draw_scores(ax: Axes, adata: AnnData, labels_key: str, epochs: list[int], clusters: list[pd.Series]) -> None:
    """Draw the scores of the clusters against the labels over epochs."""
    columns = {str(epoch): each.to_numpy() for epoch, each in zip(epochs, clusters, strict=True)}
    scored = AnnData(obs=pd.DataFrame({**columns, "labels": adata.obs[labels_key].to_numpy()}, index=adata.obs_names))
    report = metrics.clustering_report(scored, "labels", list(columns))
    for (name, text), style in zip(SCORES.items(), styles(len(SCORES)), strict=True):
        ax.plot(epochs, report[name], label=text, **style)
    ax.set_ylim(min(0, report[list(SCORES)].to_numpy().min()), 1.02)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    plain(ax)
    label(ax, x="epoch", y=f"agreement with\n{labels_key}")
    ax.legend(fontsize=TINY, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=2.8)
