from collections.abc import Mapping, Sequence
from typing import Any

from anndata import AnnData
from matplotlib.axes import Axes

from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_obs, read_runs
from scx.pl._kit.cells import draw_cells, naming_scanpy_options
from scx.pl._kit.checks import check_color, check_legend_loc, check_scanpy_options, check_seed
from scx.pl._kit.colors import read_colors
from scx.pl._kit.layout import find_layout
from scx.pl._kit.legends import COLOR_BAR_WIDTH, default_legend_loc, legend_of_colors, width_beside
from scx.pl._kit.panels import COLUMN_WIDTH, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot

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
) -> PlotResult:
    """Draw the layouts of several runs side by side, to see what changes from seed to seed.

    As supplementary figure 6 of :cite:t:`Pan2023`. Layouts are neither rotated nor scaled to match.

    Parameters
    ----------
    adata
        Cells × genes, with embeddings in ``obsm``.
    use_reps
        Embeddings, names in ``obsm``, one panel each in one row. A dict maps the name of a row to
        the embeddings of one method. Embeddings with more than two dimensions are drawn as their
        UMAP, found as in :func:`scx.pl.embedding`.
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
        If an embedding or the colour does not exist.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> for seed in range(3):
    ...     sc.tl.umap(adata, random_state=seed, init_pos="random", key_added=f"X_seed{seed}")
    >>> scx.pl.layouts(adata, ["X_seed0", "X_seed1", "X_seed2"], color="bulk_labels")
    """
    rows = read_runs(adata, use_reps if isinstance(use_reps, Mapping) else {"": use_reps})
    check_seed(rng)
    check_color(adata, [color])
    legend_loc = kwargs.pop("legend_loc", None)
    check_legend_loc(legend_loc)
    check_scanpy_options(adata, kwargs)
    n_cols = max(map(len, rows.values()))
    height = (PANEL + 0.1) * len(rows)
    obs = read_obs(adata)
    beside = COLOR_BAR_WIDTH
    if color in obs:
        legend_loc = legend_loc or default_legend_loc(obs[color])
        beside = width_beside(obs[color], legend_loc, height)
    width = max(COLUMN_WIDTH, n_cols * PANEL + beside + 0.3)
    fig, axes = make_panels(ax, len(rows), n_cols, size=(width, height + 0.5))
    drawn = []
    with naming_scanpy_options(kwargs):
        for row, (name, reps) in enumerate(rows.items()):
            for col, rep in enumerate(reps):
                panel = axes[row, col]
                basis_name, layout = find_layout(adata, rep, rng=rng)
                # one colour bar or legend for all panels, beside the first row
                has_color_bar = row == 0 and col == len(reps) - 1
                settings = {
                    "legend_loc": "none" if legend_loc == "right margin" else legend_loc,
                    **({} if has_color_bar else {"colorbar_loc": None}),
                    **kwargs,
                }
                draw_cells(panel, adata, basis_name, layout, color, title=rep, height=PANEL, **settings)
                panel.set(xlabel="", ylabel=name if col == 0 else "")
                drawn.append(panel)
            for panel in axes[row, len(reps) :]:
                panel.remove()
        if legend_loc == "right margin":
            last = len(next(iter(rows.values()))) - 1
            legend_of_colors(axes[0, last], read_colors(adata, color), height)
        return finish(fig, drawn, show, return_fig)
