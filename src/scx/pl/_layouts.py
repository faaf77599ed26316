from collections.abc import Mapping, Sequence
from typing import Any

from anndata import AnnData
from matplotlib.axes import Axes

from scx import _anndata
from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import COLUMN, Drawn, finish, legend_of, make_panels, plot, read_colors
from scx.pl._kit.scatter import (
    check_colors,
    check_legend_loc,
    check_options,
    check_seed,
    default_legend,
    draw_cells,
    find_layout,
    passing_on,
    room_beside,
)

PANEL = 1.3
"""Width of a panel in inches."""


@document
@typed
@plot
def layouts(
    adata: AnnData,
    use_reps: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    color: str,
    rng: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
    **kwargs: Any,
) -> Drawn:
    """Draw the layouts of several runs side by side: does the picture stay the same from seed to seed?

    Supplementary figure 6 of :cite:t:`Pan2023`. Layouts are neither turned nor scaled to match.

    Parameters
    ----------
    adata
        Cells × genes, with embeddings in ``obsm``.
    use_reps
        Embeddings, names in ``obsm``, one panel each in one row. A dict gives each name the embeddings of one method, a row
        each. Those of more than two dimensions are drawn as their UMAP, found as in :func:`scx.pl.embedding`.
    color
        Column of ``obs``, or a gene.
    rng
        Seed of UMAPs that are computed.
    {plot_parameters}
    **kwargs
        Arguments of :func:`scanpy.pl.embedding`.

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If an embedding or the colour is not there.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> for seed in range(3):
    ...     sc.tl.umap(adata, random_state=seed, init_pos="random", key_added=f"X_seed{seed}")
    >>> scx.pl.layouts(adata, ["X_seed0", "X_seed1", "X_seed2"], color="bulk_labels")
    """
    rows = {
        name: [reps] if isinstance(reps, str) else list(reps)
        for name, reps in (use_reps if isinstance(use_reps, Mapping) else {"": use_reps}).items()
    }
    if not all(rows.values()):
        msg = f"`use_reps` has no embedding under {next(name for name, reps in rows.items() if not reps)!r}. Name one, or leave it out."
        raise ValueError(msg)
    check_seed(rng)
    check_colors(adata, [color])
    for name in [rep for reps in rows.values() for rep in reps]:
        _anndata.check_representation(adata, "use_reps", name)
    n_cols = max(map(len, rows.values()))
    height = (PANEL + 0.1) * len(rows)
    loc = kwargs.pop("legend_loc", None)
    check_legend_loc(loc)
    check_options(adata, kwargs)
    if color in adata.obs:
        loc = loc or default_legend(adata.obs[color])
        beside = room_beside(adata.obs[color], loc, height)
    else:
        beside = 0.5
    width = max(COLUMN, n_cols * PANEL + beside + 0.3)
    fig, axes = make_panels(ax, len(rows), n_cols, size=(width, height + 0.5))
    with passing_on(kwargs):
        for line, (name, reps) in zip(axes, rows.items(), strict=True):
            for panel, rep in zip(line, reps, strict=False):
                title, layout = find_layout(adata, rep, rng=rng)
                last = panel is line[len(reps) - 1] and line is axes[0]
                here = loc if loc != "right margin" else "none"
                bar = {} if last else {"colorbar_loc": None}
                draw_cells(
                    panel, adata, title, layout, color, title=rep, height=PANEL, legend_loc=here, **{**bar, **kwargs}
                )
                panel.set(xlabel="", ylabel=name if panel is line[0] else "")
            for panel in line[len(reps) :]:
                panel.remove()
        if loc == "right margin":
            legend_of(axes[0, len(next(iter(rows.values()))) - 1], read_colors(adata, color), height)
        drawn = [panel for line, reps in zip(axes, rows.values(), strict=True) for panel in line[: len(reps)]]
        return finish(fig, drawn, show, return_fig)
