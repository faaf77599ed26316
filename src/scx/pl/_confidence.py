from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx._workflow.read import read_clusters, read_confidence, read_obs
from scx.pl._embedding import HEIGHT
from scx.pl._kit.cells import draw_cells, naming_scanpy_options
from scx.pl._kit.checks import check_scanpy_options, check_seed
from scx.pl._kit.colors import read_colors
from scx.pl._kit.layout import find_layout
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels, size_of
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import fitting_points, font_points, set_labels, text_width


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
) -> PlotResult:
    """Draw the confidence of cells: its distribution by cluster, and where uncertain cells lie.

    Boxes span the quartiles around the median, whiskers the 5th to the 95th percentile. On the
    embedding, uncertain cells are drawn on top, and colours begin at the 1st percentile.

    Parameters
    ----------
    adata
        Cells × genes, with clusters of scx.
    key
        Name under which the clusters were written, the `key_added`.
    basis
        Layout of the embedding, as in :func:`scx.pl.embedding`.
    on_embedding
        Add a panel with the embedding. It is left out if there is neither an
        ``obsm[f"X_{key}"]`` nor a `basis`.
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
        If there are no clusters with a confidence under `key`; the message has the call that
        computes them.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.confidence(adata, "contrastive")
    """
    keys = Keys(key)
    clusters, values = read_clusters(adata, key), read_confidence(adata, key)
    check_seed(rng)
    check_scanpy_options(adata, kwargs, all_cells=False)
    layout = None
    if on_embedding and (basis is not None or keys.embedding in adata.obsm):
        layout = find_layout(adata, keys.embedding, basis=basis, rng=rng)
    names = list(clusters.cat.categories)
    width = max(COLUMN_WIDTH, 0.16 * len(names) + 0.8)
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
    despine(panel)
    set_labels(panel, title=f"{key}: confidence", x="cluster", y="confidence of cells")
    panel_width = width - 0.7 if ax is None else size_of(panel)[0]
    is_long = text_width(names) > 0.8 * panel_width / len(names)
    fontsize = fitting_points(len(names), panel_width, font_points()) if is_long else font_points()
    ticks = range(1, len(names) + 1)
    panel.set_xticks(ticks, [str(name) for name in names], rotation=90 if is_long else 0, fontsize=fontsize)
    if layout is None:
        return finish(fig, list(axes[:, 0]), show, return_fig)
    with naming_scanpy_options(kwargs):
        order = np.argsort(-values, kind="stable")  # uncertain cells are drawn last, on top
        ordered = AnnData(obs=read_obs(adata)[[keys.confidence]].iloc[order])
        basis_name, coordinates = layout
        settings = {"vmin": "p1", "vmax": 1, "sort_order": False, **kwargs}
        draw_cells(
            axes[1, 0],
            ordered,
            basis_name,
            coordinates[order],
            keys.confidence,
            title="confidence of cells",
            height=HEIGHT,
            **settings,
        )
        return finish(fig, list(axes[:, 0]), show, return_fig)
