from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx.pl._kit.figure import COLUMN, Drawn, finish, make_panels, match_colors, plot, read_embedding, size_of
from scx.pl._kit.scatter import (
    check_colors,
    check_legend_loc,
    check_options,
    check_seed,
    draw_cells,
    find_layout,
    height_below,
    is_number,
    passing_on,
    room_beside,
)

HEIGHT = 2.4
"""Height of a panel in inches."""


@document
@typed
@plot
def embedding(
    adata: AnnData,
    key: str,
    *,
    color: str | Sequence[str] | None = None,
    basis: str | None = None,
    ncols: int = 2,
    title: str | Sequence[str] | None = None,
    legend_loc: str | None = None,
    rng: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Drawn:
    """Draw the embedding of a method in two dimensions, coloured by its clusters and whatever else is asked for.

    Parameters
    ----------
    adata
        Cells × genes, with an embedding of scx. Only palettes are written to it, and a layout that `basis` names.
    key
        Name under which the method wrote, its `key_added`.
    color
        Columns of ``obs`` or genes, one panel each; None for the clusters. Categories of one name have one colour, unless
        palettes in ``uns`` say otherwise, and grey is what a method of scx took for no label.
    basis
        Array of ``obsm`` with the layout; if it is not there, neighbours and UMAP are computed and stored under this name.
        None takes ``X_{key}`` itself if it has two dimensions, else ``obsm[f"X_umap_{key}"]``, else ``obsm["X_umap"]`` if
        ``uns["neighbors"]`` says that it rests on ``X_{key}``, and computes a UMAP on a copy, which is not kept, if there is
        none.
    ncols
        Panels side by side.
    title
        Title of each panel; None for the names in `color`.
    legend_loc
        As in :func:`scanpy.pl.embedding`. None writes short names, such as those of clusters, onto the data, and lists long
        ones beside it.
    rng
        Seed of a UMAP that is computed.
    {plot_parameters}
    **kwargs
        Arguments of :func:`scanpy.pl.embedding`, such as ``size``, ``palette`` or ``groups``. What scanpy or matplotlib cannot
        draw with is an error that has their words.

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If there is no embedding under `key`, with the call that computes it, or an argument cannot be used; `adata` stays as it was.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.contrastive(adata, n_clusters=8)
    >>> scx.pl.embedding(adata, "contrastive", color=["contrastive", "bulk_labels"], basis="X_umap_contrastive")
    """
    read_embedding(adata, key)
    colors = [Keys(key).clusters] if color is None else [color] if isinstance(color, str) else list(color)
    check_colors(adata, colors)
    _checks.check_positive_int("ncols", ncols)
    check_seed(rng)
    check_legend_loc(legend_loc)
    check_options(adata, kwargs)
    titles = [None] * len(colors) if title is None else [title] if isinstance(title, str) else list(title)
    if len(titles) != len(colors):
        msg = f"`title` must be one per panel, {len(colors)} in all; got {len(titles)}."
        raise ValueError(msg)
    name, layout = find_layout(adata, Keys(key).embedding, basis=basis, rng=rng)
    n_cols = min(ncols, len(colors))
    n_rows = -(-len(colors) // n_cols)
    beside = [room_beside(adata.obs[each], legend_loc, HEIGHT) if each in adata.obs else 0.5 for each in colors]
    widths = np.zeros((n_rows, n_cols))
    widths.flat[: len(colors)] = beside
    columns = widths.max(axis=0) + 2.5
    room = (COLUMN if n_cols == 1 else np.inf) if ax is None else size_of(ax)[0] / n_cols
    height, below = HEIGHT + 0.5, None
    if max(beside) > 0.5 * room:  # too narrow for a legend beside the panel
        below = room
        columns[:] = room
        height += max(height_below(adata.obs[each], room) for each in colors if each in adata.obs)
    size = (max(columns.sum(), COLUMN), height * n_rows)
    fig, axes = make_panels(ax, n_rows, n_cols, size=size)
    if kwargs.get("palette") is None:
        match_colors(adata, [each for each in colors if each in adata.obs and not is_number(adata.obs[each])])
    settings = {"height": HEIGHT, "legend_loc": legend_loc, "legend_below": below, **kwargs}
    with passing_on(kwargs):
        for panel, each, heading in zip(axes.flat, colors, titles, strict=False):
            draw_cells(panel, adata, name, layout, each, title=heading, **settings)
        for panel in axes.flat[len(colors) :]:
            panel.remove()
        return finish(fig, list(axes.flat[: len(colors)]), show, return_fig)
