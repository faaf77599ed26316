import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scx import _anndata, _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.keys import Keys
from scx.pl._kit.figure import (
    COLORS,
    COLUMN,
    Drawn,
    finish,
    label,
    legend_below,
    make_panels,
    method_of,
    plain,
    plot,
    read_categories,
    read_record,
)

MAX_BINS = 1000
"""More bins than this would be narrower than a confidence is exact, and than a pixel."""


@document
@typed
@plot
def reliability(
    adata: AnnData,
    key: str,
    *,
    labels_key: str | None = None,
    subset: NDArray[np.bool_] | None = None,
    n_bins: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Drawn:
    r"""Draw how often predicted labels are right at each level of confidence.

    On the diagonal, confidence is what it says: of the cells with confidence 0.8, 80 % have their label predicted correctly.
    Below it, the method is too sure of itself. The title gives the expected calibration error,
    :math:`\mathrm{ECE} = \sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|` over bins b of confidence.

    Parameters
    ----------
    adata
        Cells × genes, with predictions of a method that learns from labels.
    key
        Name under which the method wrote, its `key_added`.
    labels_key
        Column of ``obs`` with the true labels, against which ``obs[f"{key}_prediction"]`` and ``obs[f"{key}_confidence"]``
        are held. None takes ``uns[key]["calibration"]``, measured on labelled cells that the method held back: a dict of
        ``confidence``, ``accuracy`` and ``n_cells``, each of shape (n_bins,), and ``ece``.
    subset
        Cells to count with `labels_key`, one True or False each, a Series by its index; leave out those whose labels were used in training.
    n_bins
        Number of bins of equal width, with `labels_key`.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the predictions, their calibration or the labels are not there.

    Examples
    --------
    >>> import numpy as np, scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> rng = np.random.default_rng(0)
    >>> adata.obs["mine_confidence"] = rng.uniform(0.3, 1, adata.n_obs)
    >>> right = rng.random(adata.n_obs) < adata.obs["mine_confidence"]
    >>> adata.obs["mine_prediction"] = adata.obs["bulk_labels"].where(right, "CD19+ B")
    >>> scx.pl.reliability(adata, "mine", labels_key="bulk_labels")
    """
    _checks.check_positive_int("n_bins", n_bins, maximum=MAX_BINS)
    if labels_key is None:
        _checks.check_subset(subset, adata.obs_names)
        record = read_record(adata, key)
        if "calibration" not in record:
            msg = (
                f"`key={key!r}`: `adata.uns[{key!r}]` has no 'calibration', as the method under {key!r} did not hold labelled cells back. "
                "Pass the true labels as `labels_key`, to compare with the predictions in `obs`."
            )
            raise ValueError(msg)
        bins = record["calibration"]
        for name in ("confidence", "accuracy", "n_cells", "ece"):
            _checks.check_curve(f"uns[{key!r}]['calibration'][{name!r}]", np.atleast_1d(bins.get(name)))
    else:
        bins = _calibration(adata, key, labels_key, subset, n_bins)
    n_cells = np.asarray(bins["n_cells"], dtype=float)
    used = n_cells > 0
    sure, right, n_cells = np.asarray(bins["confidence"])[used], np.asarray(bins["accuracy"])[used], n_cells[used]
    fig, axes = make_panels(ax, size=(COLUMN, 3.9))
    panel = axes[0, 0]
    panel.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=0.9, label="perfect calibration")
    panel.vlines(sure, sure, right, color=COLORS[1], linewidth=1.2, label="gap")
    panel.plot(sure, right, color=COLORS[0], linewidth=0.9)
    largest = n_cells.max()
    panel.scatter(
        sure, right, s=12 + 90 * n_cells / largest, color=COLORS[0], edgecolor="white", linewidth=0.5, zorder=3
    )
    for n in sorted({_rounded(largest), _rounded(largest / 8)}):
        size = 12 + 90 * n / largest
        panel.scatter([], [], s=size, color=COLORS[0], edgecolor="white", linewidth=0.5, label=f"bin of {n:,} cells")
    panel.set_xlim(0, 1.02)
    panel.set_ylim(0, 1.03)
    plain(panel)
    title = f"{key}: calibration, ECE = {float(bins['ece']):.3f}\n{int(n_cells.sum()):,} cells"
    label(panel, title=title, x="confidence of the prediction (mean of bin)", y="share of correct predictions")
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)


def _calibration(
    adata: AnnData, key: str, labels_key: str, subset: NDArray[np.bool_] | None, n_bins: int
) -> dict[str, NDArray | float]:
    """Compare predictions with labels in bins of confidence."""
    keys = Keys(key)
    labels = read_categories(adata, labels_key)
    for name in (keys.prediction, keys.confidence):
        if name not in adata.obs:
            msg = (
                f"`key={key!r}`: there is no `adata.obs[{name!r}]`; predictions come from a method that learns from labels, such as "
                f"`{method_of(key) if key == 'semiaae' else f'scx.tl.semiaae(adata, labels_key, key_added={key!r})'}`."
            )
            raise ValueError(msg)
    sure = _anndata.check_share(adata, "key", keys.confidence)
    predicted = adata.obs[keys.prediction].astype(object)
    counted = _checks.check_subset(subset, adata.obs_names) & labels.notna().to_numpy() & predicted.notna().to_numpy()
    counted &= np.isfinite(sure)
    if not counted.any():
        msg = f"No cell that `subset` keeps has a label in `labels_key={labels_key!r}`, a prediction and a confidence."
        raise ValueError(msg)
    right = np.asarray(labels.astype(object) == predicted)[counted]
    bins = np.clip((sure[counted] * n_bins).astype(int), 0, n_bins - 1)
    table = pd.DataFrame({"bin": bins, "confidence": sure[counted], "accuracy": right}).groupby("bin").mean()
    n_cells = np.bincount(bins)[table.index]
    gap = np.abs((table["accuracy"] - table["confidence"]).to_numpy())
    return {
        "confidence": table["confidence"].to_numpy(),
        "accuracy": table["accuracy"].to_numpy(),
        "n_cells": n_cells,
        "ece": float((gap * n_cells).sum() / n_cells.sum()),
    }


def _rounded(n: float) -> int:
    """Return a number of cells to one digit."""
    digits = 10 ** int(np.floor(np.log10(max(n, 1))))
    return int(max(round(n / digits), 1) * digits)
