from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx._workflow.read import read_history
from scx.pl._kit.colors import COLORS
from scx.pl._kit.panels import COLUMN_WIDTH, despine, make_panels
from scx.pl._kit.plot import PlotResult, finish, plot
from scx.pl._kit.text import TICK_TEXT, set_labels

SHADES = ("0.93", "0.82")
"""Greys of phases, alternating."""


@document
@typed
@plot
def history(
    adata: AnnData,
    key: str,
    *,
    losses: str | Sequence[str] | None = None,
    log: bool = False,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> PlotResult:
    """Draw each loss of a training by epoch; phases are shaded, the last epoch is marked.

    Parameters
    ----------
    adata
        Cells × genes, with a result of a method of scx.
    key
        Name under which the method wrote, its `key_added`.
    losses
        Names in ``uns[key]["history"]``, one panel each; None for all.
    log
        Draw losses on a logarithmic scale.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If nothing was trained under `key` (the message has the call that trains), or a loss is
        unknown.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.infovae(adata, n_clusters=8)
    >>> scx.pl.history(adata, "infovae", losses=["loss", "mmd", "clustering_loss"])
    """
    training = read_history(adata, key)
    names = sorted(training.losses, key=lambda name: name != "loss") if losses is None else losses
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        _checks.check_key("losses", name, f"uns[{key!r}]['history']", training.losses)
    last = training.n_epochs
    phases = _spans(training.phases, last)
    fig, axes = make_panels(ax, len(names), size=(COLUMN_WIDTH, 0.7 + 1.05 * len(names)))
    for panel, name in zip(axes[:, 0], names, strict=True):
        values = training.losses[name]
        epochs = np.arange(last - len(values) + 1, last + 1)
        for i, phase in enumerate(phases):
            panel.axvspan(phase.start + 0.5, phase.end + 0.5, color=SHADES[i % len(SHADES)], linewidth=0, zorder=0)
        is_short = np.isfinite(values).sum() < 20
        panel.plot(epochs, values, color=COLORS[0], linewidth=1.2, marker="o" if is_short else None, markersize=2.5)
        panel.axvline(last, color="0.3", linestyle="--", linewidth=0.9)
        panel.set_xlim(0.5 if last > 1 else 0, last + max(0.5, 0.02 * last))
        if log:
            panel.set_yscale("log")
        else:
            panel.locator_params(axis="y", nbins=4)
        despine(panel)
        set_labels(panel, y=name.replace("_", "\n", 1))
        panel.tick_params(labelbottom=panel is axes[-1, 0])
    ending = f"stopped early at epoch {last}" if training.stopped_early else f"{last} epochs"
    set_labels(axes[-1, 0], x="epoch")
    set_labels(axes[0, 0], title=f"{key}: {ending}")
    fig.align_ylabels(list(axes[:, 0]))
    for phase in phases:
        _write_phase(axes[0, 0], phase, last)
    return finish(fig, list(axes[:, 0]), show, return_fig)


class _Span(NamedTuple):
    """A phase that was reached: the epochs from ``start + 1`` to ``end``."""

    name: str
    start: int
    end: int


def _spans(first_epochs: Mapping[str, int], last: int) -> list[_Span]:
    """Return the phases that were reached in a training of `last` epochs."""
    ordered = sorted(first_epochs.items(), key=lambda item: item[1])
    ends = [first - 1 for _, first in ordered[1:]] + [last]
    return [
        _Span(name, first - 1, min(end, last))
        for (name, first), end in zip(ordered, ends, strict=False)
        if first <= last
    ]


def _write_phase(ax: Axes, phase: _Span, last: int) -> None:
    """Write the name of a phase at the top of Axes; long names stay within the Axes."""
    side = "center" if phase.end - phase.start > last / 4 else "right" if phase.end == last else "left"
    x = {"left": phase.start, "center": (phase.start + phase.end) / 2, "right": phase.end}[side] + 0.5
    ax.text(x, 0.97, phase.name, transform=ax.get_xaxis_transform(), ha=side, va="top", fontsize=TICK_TEXT)
