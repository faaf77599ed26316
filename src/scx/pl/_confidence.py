from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx import _anndata
from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx.pl._embedding import HEIGHT
from scx.pl._kit.figure import (
    COLUMN,
    Drawn,
    finish,
    fitting_size,
    label,
    make_panels,
    method_of,
    plain,
    plot,
    points,
    read_categories,
    read_colors,
    size_of,
    text_width,
)
from scx.pl._kit.scatter import check_options, check_seed, draw_cells, find_layout, passing_on


@document
@typed
@plot
def confidence(
    adata: AnnData,
    key: str,
    *,
    basis: str | None = None,
    on_embedding: bool = True,
    rng: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Drawn:
    """Draw the confidence of cells in their cluster: how it is distributed in each, and where the unsure cells lie.

    Boxes span the quartiles around the median, whiskers the 5th to the 95th percentile. On the embedding, unsure cells lie on top,
    and colours begin at the 1st percentile.

    Parameters
    ----------
    adata
        Cells × genes, with clusters of scx.
    key
        Name under which they were written, the `key_added`.
    basis
        Layout of the embedding, as in :func:`scx.pl.embedding`.
    on_embedding
        Add the panel of the embedding. Clusters without an ``obsm[f"X_{key}"]`` need a `basis` for it, and have none otherwise.
    rng
        Seed of a UMAP that is computed.
    {plot_parameters}
    **kwargs
        Arguments of :func:`scanpy.pl.embedding` for the panel of the embedding.

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If there are no clusters with a confidence under `key`, with the call that computes them.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.confidence(adata, "contrastive")
    """
    keys = Keys(key)
    clusters = read_categories(adata, keys.clusters, what="key")
    if keys.confidence not in adata.obs:
        msg = f"`key={key!r}`: there is no confidence `adata.obs[{keys.confidence!r}]`. Compute it with `{method_of(key)}`."
        raise ValueError(msg)
    check_seed(rng)
    check_options(adata, kwargs, every_cell=False)
    values = _anndata.check_share(adata, "key", keys.confidence)
    layout = None
    if on_embedding and (basis is not None or keys.embedding in adata.obsm):
        layout = find_layout(adata, keys.embedding, basis=basis, rng=rng)
    names = list(clusters.cat.categories)
    width = max(COLUMN, 0.16 * len(names) + 0.8)
    if layout is None:
        fig, axes = make_panels(ax, size=(width, 2.2))
    else:
        fig, axes = make_panels(ax, 2, size=(width, 2.0 + HEIGHT + 0.4), height_ratios=[1.7, HEIGHT])
    panel, colors = axes[0, 0], read_colors(adata, keys.clusters)
    boxes = panel.boxplot(
        [values[(clusters == name).to_numpy() & np.isfinite(values)] for name in names],
        widths=0.7,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 1.2},
        whiskerprops={"linewidth": 0.8},
        capprops={"linewidth": 0.8},
    )
    for box, name in zip(boxes["boxes"], names, strict=True):
        box.set(facecolor=colors[name], linewidth=0.6)
    panel.set_ylim(0, 1.02)
    plain(panel)
    label(panel, title=f"{key}: confidence", x="cluster", y="confidence of cells")
    wide = width - 0.7 if ax is None else size_of(panel)[0]
    long = text_width(names) > 0.8 * wide / len(names)
    size = fitting_size(len(names), wide, points()) if long else points()
    panel.set_xticks(range(1, len(names) + 1), [str(name) for name in names], rotation=90 if long else 0, fontsize=size)
    if layout is None:
        return finish(fig, list(axes[:, 0]), show, return_fig)
    with passing_on(kwargs):
        order = np.argsort(-values, kind="stable")  # unsure cells are drawn last, on top
        light = AnnData(obs=adata.obs[[keys.confidence]].iloc[order])
        name, points_2d = layout
        settings = {"vmin": "p1", "vmax": 1, "sort_order": False, **kwargs}
        title = "confidence of cells"
        draw_cells(axes[1, 0], light, name, points_2d[order], keys.confidence, title=title, height=HEIGHT, **settings)
        return finish(fig, list(axes[:, 0]), show, return_fig)
