"""Legends and colour bars: beside or below a panel."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from scx.pl._kit.text import AXIS_TEXT, TICK_TEXT, font_points, text_width

MAX_LENGTH_ON_DATA = 3
"""Names of at most this many characters are written onto the data; longer ones stand beside it."""
KEY_WIDTH = 0.28
"""Width in inches that a legend takes beside its names: the symbol and the gaps."""
COLOR_BAR_WIDTH = 0.5
"""Width in inches of a colour bar with its numbers."""


def is_number(values: pd.Series) -> bool:
    """Return whether values have a colour bar; others are categories and have a legend."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def default_legend_loc(values: pd.Series) -> str:
    """Return where names of categories go: short ones onto the data, to be read without colours."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        longest = max(map(len, map(str, values.cat.categories)), default=0)
        return "on data" if longest <= MAX_LENGTH_ON_DATA else "right margin"
    return "right margin"


# ----- the room that a legend takes


def legend_columns(n: int, height: float) -> int:
    """Return the number of columns of a legend of `n` entries beside a panel of a `height`."""
    return math.ceil(n * 1.5 * font_points() / 72 / height)


def legend_width(names: Sequence[object], height: float) -> float:
    """Return the width in inches of a legend beside a panel of a `height` in inches."""
    return legend_columns(len(names), height) * (text_width(names) + KEY_WIDTH)


def columns_below(names: Sequence[object], width: float) -> int:
    """Return the number of columns of a legend below a panel of a `width` in inches."""
    return max(1, int(width / (text_width(names) + KEY_WIDTH)))


def width_beside(values: pd.Series, loc: str | None, height: float) -> float:
    """Return the width in inches of a legend or colour bar beside a panel of a `height`."""
    if is_number(values):
        return COLOR_BAR_WIDTH
    if (loc or default_legend_loc(values)) != "right margin":
        return 0.0
    names = list(values.astype("category").cat.categories) + (["NA"] if values.isna().any() else [])
    return legend_width(names, height)


def height_below(values: pd.Series, width: float) -> float:
    """Return the height in inches of a legend below a panel of a `width`; 0 for numbers."""
    if is_number(values):
        return 0.0
    names = list(values.astype("category").cat.categories)
    return math.ceil(len(names) / columns_below(names, width)) * 1.5 * font_points() / 72


# ----- drawing


def legend_beside(ax: Axes, height: float, *, width_below: float | None = None) -> None:
    """Draw the legend of categories to the right of a panel, or below it.

    Parameters
    ----------
    ax
        Has the categories.
    height
        Height of the panel in inches.
    width_below
        Width in inches that the legend may take below the panel; None puts it to the right.
    """
    handles, names = ax.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.2}
    if width_below is not None:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 2.4}
    if names:
        n_cols = legend_columns(len(names), height) if width_below is None else columns_below(names, width_below)
        ax.legend(
            handles,
            names,
            ncols=n_cols,
            fontsize=TICK_TEXT,
            frameon=False,
            labelspacing=0.2,
            handletextpad=0.3,
            columnspacing=0.6,
            **place,
        )


def legend_of_colors(ax: Axes, colors: Mapping[Hashable, str], height: float) -> None:
    """Draw a legend of categories to the right of a panel of a `height` in inches."""
    for name, color in colors.items():
        ax.scatter([], [], color=color, label=str(name))
    legend_beside(ax, height)


def legend_below(ax: Axes, n_cols: int = 2) -> None:
    """Draw the legend of curves below the panel."""
    ax.legend(
        fontsize=TICK_TEXT,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        borderaxespad=4.2,  # the height of ticks and the name of the axis, in units of the text size
        ncols=n_cols,
        handlelength=2.8,
        columnspacing=1.0,
        labelspacing=0.35,
    )


def color_bar(ax: Axes, mapped: ScalarMappable, name: str | None = None) -> None:
    """Draw a colour bar beside Axes, as high as they are; as a part of them, it moves with them."""
    bar = ax.figure.colorbar(mapped, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
    bar.ax.tick_params(labelsize=TICK_TEXT)
    if name is not None:
        bar.set_label(name, fontsize=AXIS_TEXT)
