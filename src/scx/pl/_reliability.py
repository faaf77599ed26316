import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.read import Calibration, read_calibration, read_labels, read_predictions
from scx.pl._kit.colors import COLORS
from scx.pl._kit.legends import legend_below
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import set_labels

MAX_BINS = 1000
"""Largest number of bins; more would be narrower than a pixel."""


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
) -> PlotResult:
    r"""Draw how often predicted labels are correct at each level of confidence.

    On the diagonal, the method is calibrated: of the cells with confidence 0.8, 80 % are predicted
    correctly. Below it, the method is overconfident. The title has the expected calibration error,
    :math:`\mathrm{ECE} = \sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|` over bins
    b of confidence.

    Parameters
    ----------
    adata
        Cells × genes, with predictions of a method that learns from labels.
    key
        Name under which the method wrote, its `key_added`.
    labels_key
        Column of ``obs`` with the true labels, to compare with ``obs[f"{key}_prediction"]`` at the
        confidence in ``obs[f"{key}_confidence"]``. None takes ``uns[key]["calibration"]``, measured
        on labelled cells that the method held out: a dict of ``confidence``, ``accuracy`` and
        ``n_cells``, each of shape (n_bins,), and ``ece``.
    subset
        For `labels_key`: one True or False per cell, True for the cells to count. A Series is
        aligned by its index. Exclude cells whose labels were used in training.
    n_bins
        For `labels_key`: number of bins of equal width.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If the predictions, their calibration or the labels do not exist.

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
        bins = read_calibration(adata, key)
    else:
        bins = _calibration(adata, key, labels_key, subset, n_bins)
    used = bins.n_cells > 0
    confidence, accuracy, n_cells = bins.confidence[used], bins.accuracy[used], bins.n_cells[used]
    largest = n_cells.max()
    fig, axes = make_panels(ax, size=(COLUMN_WIDTH, 3.9))
    panel = axes[0, 0]
    panel.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=0.9, label="perfect calibration")
    panel.vlines(confidence, confidence, accuracy, color=COLORS[1], linewidth=1.2, label="gap")
    panel.plot(confidence, accuracy, color=COLORS[0], linewidth=0.9)
    dots = {"color": COLORS[0], "edgecolor": "white", "linewidth": 0.5}
    panel.scatter(confidence, accuracy, s=_area(n_cells, largest), zorder=3, **dots)
    for n in sorted({_rounded(largest), _rounded(largest / 8)}):
        panel.scatter([], [], s=_area(n, largest), label=f"bin of {n:,} cells", **dots)
    panel.set_xlim(0, 1.02)
    panel.set_ylim(0, 1.03)
    despine(panel)
    title = f"{key}: calibration, ECE = {bins.ece:.3f}\n{int(n_cells.sum()):,} cells"
    set_labels(panel, title=title, x="confidence of the prediction (mean of bin)", y="share of correct predictions")
    legend_below(panel)
    return finish(fig, [panel], show, return_fig)


def _calibration(
    adata: AnnData, key: str, labels_key: str, subset: NDArray[np.bool_] | None, n_bins: int
) -> Calibration:
    """Compare predictions with labels in bins of confidence."""
    labels = read_labels(adata, labels_key)
    predictions, confidence = read_predictions(adata, key)
    counted = _checks.check_subset(subset, adata.obs_names) & labels.notna().to_numpy() & predictions.notna().to_numpy()
    counted &= np.isfinite(confidence)
    if not counted.any():
        msg = f"No cell that `subset` keeps has a label in `labels_key={labels_key!r}`, a prediction and a confidence."
        raise ValueError(msg)
    is_correct = np.asarray(labels.astype(object) == predictions)[counted]
    confidence = confidence[counted]
    bins = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    means = pd.DataFrame({"bin": bins, "confidence": confidence, "accuracy": is_correct}).groupby("bin").mean()
    n_cells = np.bincount(bins)[means.index]
    gap = np.abs((means["accuracy"] - means["confidence"]).to_numpy())
    return Calibration(
        confidence=means["confidence"].to_numpy(),
        accuracy=means["accuracy"].to_numpy(),
        n_cells=n_cells.astype(float),
        ece=float((gap * n_cells).sum() / n_cells.sum()),
    )


def _area(n_cells: NDArray[np.float64] | int, largest: float) -> NDArray[np.float64] | float:
    """Return the area of the dot of a bin, in square points."""
    return 12 + 90 * n_cells / largest


def _rounded(n: float) -> int:
    """Return a number of cells, rounded to one significant digit."""
    digits = 10 ** int(np.floor(np.log10(max(n, 1))))
    return int(max(round(n / digits), 1) * digits)
