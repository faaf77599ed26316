"""Figures and panels: how many, how large, and where."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecBase
from numpy.typing import NDArray

COLUMN_WIDTH = 3.5
"""Width of one column of a journal in inches."""
MAX_DRAWS = 8
"""Number of draws after which a layout that has not settled is left as it is."""


def figure_of(ax: Axes) -> Figure:
    """Return the figure of Axes; that of the whole if they are in a subfigure."""
    figure = ax.get_figure(root=True)
    if figure is None:
        msg = "`ax` was removed from its figure. Pass other Axes, or None for a new figure."
        raise ValueError(msg)
    return figure


def make_panels(
    ax: Axes | None,
    n_rows: int = 1,
    n_cols: int = 1,
    *,
    size: tuple[float, float],
    n_wide: int = 0,
    **ratios: Any,
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure and its Axes, shape (n_rows, n_cols).

    Parameters
    ----------
    ax
        Axes to draw into; several panels divide it. None makes a figure.
    n_rows, n_cols
        Number of panels.
    size
        Width and height of a new figure in inches.
    n_wide
        Number of rows at the bottom that have a single panel.
    **ratios
        ``width_ratios``, ``height_ratios`` of the panels.
    """
    grid: GridSpecBase
    if ax is None:
        fig = plt.figure(figsize=size, layout="constrained")
        grid = fig.add_gridspec(n_rows, n_cols, **ratios)
    else:
        fig = figure_of(ax)
        if n_rows == n_cols == 1:
            return fig, np.array([[ax]])
        spec, box = ax.get_subplotspec(), ax.get_position()
        ax.set_axis_off()
        if spec is not None:
            grid = spec.subgridspec(n_rows, n_cols, **ratios)
        else:
            edges = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
            grid = GridSpec(n_rows, n_cols, figure=fig, **edges, **ratios)
    rows = [[fig.add_subplot(grid[row, col]) for col in range(n_cols)] for row in range(n_rows - n_wide)]
    rows += [[fig.add_subplot(grid[row, :])] * n_cols for row in range(n_rows - n_wide, n_rows)]
    return fig, np.array(rows)


def settle(fig: Figure) -> None:
    """Draw until panels stop moving: legends change the size of panels, and the reverse."""
    before = np.empty(0)
    for _ in range(MAX_DRAWS):
        fig.draw_without_rendering()
        places = np.array([ax.get_position().bounds for ax in fig.axes])
        if before.shape == places.shape and np.allclose(before, places, atol=1e-4):
            break
        before = places


def size_of(ax: Axes) -> tuple[float, float]:
    """Return the width and height of Axes in inches."""
    box, dpi = ax.get_window_extent(), figure_of(ax).dpi
    return box.width / dpi, box.height / dpi


def despine(ax: Axes) -> None:
    """Hide the upper and the right edge of Axes."""
    ax.spines[["top", "right"]].set_visible(False)
