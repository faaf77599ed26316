from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from scx import _checks
from scx._docs import document
from scx._types import typed
from scx.pl._kit.figure import COLORS, COLUMN, TINY, Drawn, finish, label, make_panels, plain, plot, read_record

SHADES = ("0.93", "0.82")
"""Greys of phases, in turn."""


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
) -> Drawn:
    """Draw every loss of a training by epoch, its phases shaded and its last epoch marked.

    Parameters
    ----------
    adata
        Cells × genes, with a result of a method of scx.
    key
        Name under which the method wrote, its `key_added`.
    losses
        Names in ``uns[key]["history"]``, one panel each; None for all.
    log
        Logarithmic scale of the losses.
    {plot_parameters}

    Returns
    -------
    {plot_returns}

    Raises
    ------
    ValueError
        If nothing was trained under `key`, with the call that does it, or a loss is unknown.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.tl.infovae(adata, n_clusters=8)
    >>> scx.pl.history(adata, "infovae", losses=["loss", "mmd", "clustering_loss"])
    """
    record = read_record(adata, key, "history")
    curves: Mapping[str, np.ndarray] = record["history"]
    names = sorted(curves, key=lambda name: name != "loss") if losses is None else losses
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        _checks.check_key("losses", name, f"uns[{key!r}]['history']", curves)
    for name, curve in curves.items():
        _checks.check_curve(f"uns[{key!r}]['history'][{name!r}]", curve)
    last = max(len(curve) for curve in curves.values())
    fig, axes = make_panels(ax, len(names), size=(COLUMN, 0.7 + 1.05 * len(names)))
    starts = {str(name): int(start) for name, start in record.get("phases", {}).items()}
    for panel, name in zip(axes[:, 0], names, strict=True):
        curve = np.asarray(curves[name], dtype=float)
        epochs = np.arange(last - len(curve) + 1, last + 1)
        _shade(panel, starts, last)
        few = np.isfinite(curve).sum() < 20
        panel.plot(epochs, curve, color=COLORS[0], linewidth=1.2, marker="o" if few else None, markersize=2.5)
        panel.axvline(last, color="0.3", linestyle="--", linewidth=0.9)
        panel.set_xlim(0.5 if last > 1 else 0, last + max(0.5, 0.02 * last))
        if log:
            panel.set_yscale("log")
        plain(panel)
        label(panel, y=name.replace("_", "\n", 1))
        panel.locator_params(axis="y", nbins=4) if not log else None
        panel.tick_params(labelbottom=panel is axes[-1, 0])
    ended = f"stopped early at epoch {last}" if record.get("params", {}).get("stopped_early") else f"{last} epochs"
    label(axes[-1, 0], x="epoch")
    label(axes[0, 0], title=f"{key}: {ended}")
    fig.align_ylabels(list(axes[:, 0]))
    for name, start, end in _spans(starts, last):
        # a name that is longer than its phase stays within the panel
        side = "center" if end - start > last / 4 else "right" if end == last else "left"
        x = {"left": start, "center": (start + end) / 2, "right": end}[side] + 0.5
        at = axes[0, 0].get_xaxis_transform()
        axes[0, 0].text(x, 0.97, name, transform=at, ha=side, va="top", fontsize=TINY)
    return finish(fig, list(axes[:, 0]), show, return_fig)


def _spans(starts: Mapping[str, int], last: int) -> list[tuple[str, int, int]]:
    """Return name, first and last epoch of each phase that was reached."""
    ordered = sorted(starts.items(), key=lambda item: item[1])
    ends = [start - 1 for _, start in ordered[1:]] + [last]
    return [
        (name, start - 1, min(end, last)) for (name, start), end in zip(ordered, ends, strict=False) if start <= last
    ]


def _shade(ax: Axes, starts: Mapping[str, int], last: int) -> None:
    for i, (_, start, end) in enumerate(_spans(starts, last)):
        ax.axvspan(start + 0.5, end + 0.5, color=SHADES[i % len(SHADES)], linewidth=0, zorder=0)
