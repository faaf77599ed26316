from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from scx import _anndata, _checks, metrics
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_runs
from scx.pl._kit.colors import line_styles
from scx.pl._kit.legends import legend_below
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import set_labels


@document
@typed
@plot
def knn_preservation(
    adata: AnnData,
    use_reps: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    reference: str | None = None,
    k: int | Sequence[int] | None = None,
    max_cells: int = 2000,
    rng: int | np.random.Generator = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    """Draw the share of its k nearest neighbours that a cell keeps in embeddings, over k.

    As figure 5 of :cite:t:`Pan2023`. The grey line, k / (n_cells − 1), is the expectation for an
    embedding that is independent of the reference.

    Parameters
    ----------
    adata
        Cells × genes, with embeddings in ``obsm``.
    use_reps
        Embeddings, names in ``obsm``, one curve each. A dict maps the name of a curve to the
        embeddings of several runs, such as seeds: the curve is their mean, the band spans the
        lowest and the highest.
    reference
        Representation that defines the neighbours to keep, an entry of ``obsm``; None for ``X``.
    k
        Numbers of neighbours; None for ten numbers from 10 to half of the cells.
    max_cells, rng
        As in :func:`scx.metrics.knn_preservation`, which computes the values.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message says what to do.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.pl.knn_preservation(adata, ["X_pca", "X_umap"])
    """
    _anndata.check_some_cells(adata, 2)
    _checks.check_rng(rng)
    if not isinstance(use_reps, Mapping):
        use_reps = {name: name for name in ([use_reps] if isinstance(use_reps, str) else use_reps)}
    runs = read_runs(adata, use_reps)
    if k is None:
        largest = adata.n_obs // 2
        ks = np.unique(np.geomspace(min(10, largest), largest, 10).astype(int))
    else:
        ks = np.atleast_1d(np.asarray(k))
    seed = int(np.random.default_rng(rng).integers(2**31 - 1))  # the same cells for all embeddings
    fig, axes = make_panels(ax, size=(COLUMN_WIDTH, 2.9))
    panel = axes[0, 0]
    for (name, reps), style in zip(runs.items(), line_styles(len(runs)), strict=True):
        kept = np.array(
            [
                metrics.knn_preservation(adata, rep, reference=reference, k=ks.tolist(), max_cells=max_cells, rng=seed)
                for rep in reps
            ]
        )
        label = f"{name} ({len(reps)} runs)" if len(reps) > 1 else name
        panel.plot(ks, kept.mean(axis=0), label=label, **style)
        if len(reps) > 1:
            panel.fill_between(ks, kept.min(axis=0), kept.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)
    panel.plot(ks, ks / (adata.n_obs - 1), color="0.6", linewidth=1.0, label="chance")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(0, 1.02)
    despine(panel)
    source = "X" if reference is None else reference
    set_labels(
        panel, title=f"neighbours of {source} that are kept", x="number of neighbours k", y="share of neighbours kept"
    )
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)
