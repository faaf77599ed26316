"""Palettes of categories, which are kept in ``uns``; colours of curves; colour maps."""

from collections.abc import Hashable, Sequence
from itertools import chain, cycle, islice, repeat
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.cm import ScalarMappable
from matplotlib.colors import is_color_like
from scanpy.plotting.palettes import default_20, default_102

from scx._checks import short_repr
from scx._compat import fill_colors
from scx._workflow.read import as_categories, read_obs, unlabeled_categories

LINES = ("-", "--", "-.", ":")
"""Line styles: curves can be told apart without their colours."""
MARKERS = "osD^vPX*<>"
"""Markers, for the same reason."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Colours of curves, distinct for every kind of colour vision (Okabe and Ito)."""
UNLABELED = "#d3d3d3"
"""Colour of cells without a label; scanpy uses it for missing values."""
SEQUENTIAL = "cividis"
"""Colour map of numbers, with the same order in greyscale and for every kind of colour vision."""


def palette_name(column: str) -> str:
    """Return the name in ``uns`` of the palette of a column of ``obs``, as scanpy has it."""
    return f"{column}_colors"


def read_colors(adata: AnnData, column: str, same_as: Sequence[str] = ()) -> dict[Hashable, str]:
    """Return the colour of each category of a column of ``obs``; fill in a missing palette.

    Parameters
    ----------
    adata
        A palette that is missing is written to ``uns``.
    column
        Column of ``obs``.
    same_as
        Other columns of ``obs``. A palette that is filled in takes the colours of their categories
        for categories of the same name; if several columns have the name, the first one counts.
        If there are such categories, those of other names get other colours than any of these.
    """
    values = as_categories(read_obs(adata)[column])
    categories = values.cat.categories
    palette = _stored_palette(adata, column)
    if palette is None or len(palette) < len(categories):
        with_palette = AnnData(obs=pd.DataFrame({column: values}))
        fill_colors(with_palette, column)
        palette = list(with_palette.uns[palette_name(column)])
        known: dict[Hashable, str] = {}
        for other in reversed(same_as):
            known |= read_colors(adata, other)
        known |= dict.fromkeys(_unlabeled(adata, column, categories), UNLABELED)
        if not known.keys().isdisjoint(categories):
            taken = {color.lower() for color in known.values()}
            others = [
                color for color in dict.fromkeys([*palette, *default_20, *default_102]) if color.lower() not in taken
            ]
            free = chain(others, repeat(palette[-1]))
            palette = [known[category] if category in known else next(free) for category in categories]
        adata.uns[palette_name(column)] = palette
    return dict(zip(categories, palette, strict=False))


def match_colors(adata: AnnData, columns: Sequence[str]) -> None:
    """Fill in missing palettes; categories with the same name get the same colour."""
    ordered = sorted(columns, key=lambda column: palette_name(column) not in adata.uns)
    for i, column in enumerate(ordered):
        read_colors(adata, column, same_as=ordered[:i])


def _stored_palette(adata: AnnData, column: str) -> Sequence[str] | None:
    """Return the stored palette of a column, None without one; raise unless it lists colours."""
    name = palette_name(column)
    palette: Sequence[str] | None = adata.uns.get(name)
    if palette is not None and (np.ndim(palette) == 0 or not all(map(is_color_like, palette))):
        msg = f"`adata.uns[{name!r}]` must list colours of matplotlib, got {short_repr(palette)}. Correct or delete it."
        raise ValueError(msg)
    return palette


def _unlabeled(adata: AnnData, column: str, categories: pd.Index) -> list[Hashable]:
    """Return the categories of a column that a method of scx treated as missing labels."""
    unlabeled = unlabeled_categories(adata, column)
    if not unlabeled:
        return []
    return [category for category in categories if str(category) in unlabeled or not str(category).strip()]


def line_styles(n: int) -> list[dict[str, Any]]:
    """Return `n` styles of curves that differ in colour, line and marker."""
    styles = zip(cycle(COLORS), cycle(LINES), cycle(MARKERS), strict=False)
    return [
        {"color": color, "linestyle": line, "marker": marker, "markersize": 3.5, "linewidth": 1.2}
        for color, line, marker in islice(styles, n)
    ]


def text_color_on(mapped: ScalarMappable, value: float) -> str:
    """Return black or white, whichever is legible on the colour of a value."""
    red, green, blue, _ = mapped.to_rgba(np.array([value]))[0]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
