from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from scx import _anndata, _checks, metrics
from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import COLUMN, Drawn, finish, label, legend_below, make_panels, plain, plot, styles


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
) -> Drawn:
    """Draw how many of its k nearest neighbours a cell keeps in embeddings, over k: figure 5 of :cite:t:`Pan2023`.

    The grey line is what an embedding keeps that has nothing to do with the reference, k / (n_cells − 1).

    Parameters
    ----------
    adata
        Cells × genes, with embeddings in ``obsm``.
    use_reps
        Embeddings, names in ``obsm``, one curve each. A dict gives each name the embeddings of several runs, such as seeds:
        the curve is their mean, the band spans the lowest and the highest.
    reference
        Representation whose neighbours are to be kept, an entry of ``obsm``; None for ``X``.
    k
        Numbers of neighbours; None for ten from 10 up to half of the cells.
    max_cells, rng
        As in :func:`scx.metrics.knn_preservation`, which computes the values.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError, TypeError
        If an argument cannot be used; the message says what to do.

    Examples
    --------
    >>> import scanpy as sc, scx
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> scx.pl.knn_preservation(adata, ["X_pca", "X_umap"])
    """
    _anndata.check_some_cells(adata, 2)
    _checks.check_rng(rng)
    if isinstance(use_reps, Mapping):
        runs = {name: [reps] if isinstance(reps, str) else list(reps) for name, reps in use_reps.items()}
    else:
        runs = {name: [name] for name in ([use_reps] if isinstance(use_reps, str) else use_reps)}
    if not all(runs.values()):
        msg = f"`use_reps` has no embedding under {next(name for name, reps in runs.items() if not reps)!r}. Name one, or leave it out."
        raise ValueError(msg)
    for name in [rep for reps in runs.values() for rep in reps]:
        _anndata.check_representation(adata, "use_reps", name)
    if k is None:
        most = adata.n_obs // 2
        ks = np.unique(np.geomspace(min(10, most), most, 10).astype(int))
    else:
        ks = np.atleast_1d(np.asarray(k))
    seed = int(np.random.default_rng(rng).integers(2**31 - 1))  # the same cells for all
    fig, axes = make_panels(ax, size=(COLUMN, 2.9))
    panel = axes[0, 0]
    for (name, reps), style in zip(runs.items(), styles(len(runs)), strict=True):
        kept = np.array(
            [
                metrics.knn_preservation(adata, rep, reference=reference, k=ks.tolist(), max_cells=max_cells, rng=seed)
                for rep in reps
            ]
        )
        several = f" ({len(reps)} runs)" if len(reps) > 1 else ""
        panel.plot(ks, kept.mean(axis=0), label=f"{name}{several}", **style)
        if len(reps) > 1:
            panel.fill_between(ks, kept.min(axis=0), kept.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)
    panel.plot(ks, ks / (adata.n_obs - 1), color="0.6", linewidth=1.0, label="chance")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(0, 1.02)
    plain(panel)
    source = "X" if reference is None else reference
    label(
        panel, title=f"neighbours of {source} that are kept", x="number of neighbours k", y="share of neighbours kept"
    )
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)
