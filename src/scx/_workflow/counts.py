"""Check that a matrix holds raw counts, not transformed or normalised values."""

from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx._anndata import layer_names, matrix_name
from scx._checks import warn
from scx._matrix import read_counts

type Values = NDArray[np.floating]
"""Entries of a matrix."""

MAX_LOG_VALUE = 20.0
"""Upper bound of log expression: log2 of one million (counts per million of a single gene)."""
MAX_CELLS = 2_000
"""Number of cells that are examined for signs of a transformation."""
BLOCK = 16_384
"""Cells that are read at a time where the counts need not be in memory."""
MIN_SHARE = 0.9
"""Share of the cells that must show a sign of normalisation."""
TOTALS_TOLERANCE = 0.01
"""Relative difference below which totals count as equal; removing genes changes them a little."""
RESTORED_TOLERANCE = 1e-4
"""The same after an inverse transformation, where one gene can outweigh all others."""
INVERSES: dict[str, Callable[[Values], Values]] = {
    "square-root-transformed": np.square,
    "log-transformed": np.expm1,
    "log-transformed (base 2)": lambda values: np.exp2(values) - 1,
    "log-transformed (base 10)": lambda values: 10**values - 1,
}
"""Inverses of transformations of counts or normalised counts, by their name in messages."""


def check_counts(counts: sparse.csr_matrix, adata: AnnData, layer: str | None) -> None:
    """Raise unless the values can be raw counts.

    Counts are finite and not negative, neither transformed nor normalised, and every cell has some.
    Other fractional values only raise a warning: quantification and the removal of ambient RNA
    produce them.
    """
    source = matrix_name(layer)
    values = counts.data
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"{source} holds {n_bad} values that are NaN or infinite; raw counts are needed. {_advice(adata, layer)}"
        raise ValueError(msg)
    if values.size and values.min() < 0:
        msg = f"{source} holds negative values, so it looks scaled; raw counts are needed. {_advice(adata, layer)}"
        raise ValueError(msg)
    fractional = float(np.mean(values != np.round(values))) if values.size else 0.0
    transformation = _find_transformation(counts, fractional) if fractional else None
    if transformation is not None:
        msg = f"{source} looks {transformation}; raw counts are needed. {_advice(adata, layer)} If these are counts, round them first."
        raise ValueError(msg)
    empty = int((np.diff(counts.indptr) == 0).sum()) if values.all() else int((counts.sum(axis=1) == 0).sum())
    if empty:
        call = (
            "sc.pp.filter_cells(adata, min_counts=1)"
            if layer is None
            else f"adata = adata[adata.layers[{layer!r}].sum(axis=1) > 0].copy()"
        )
        msg = f"{empty} of {counts.shape[0]} cells have no counts in {source}. Remove them with `{call}`."
        raise ValueError(msg)
    if fractional:
        warn(
            f"{source} holds fractional values ({fractional:.0%} of the non-zero ones). They are used as counts: "
            "check that they are neither normalised nor log-transformed.",
        )


def check_counts_in_blocks(adata: AnnData, layer: str | None) -> None:
    """Raise unless the values can be raw counts, reading few cells at a time."""
    for start in range(0, adata.n_obs, BLOCK):
        check_counts(read_counts(adata[start : start + BLOCK], layer), adata, layer)


def _find_transformation(counts: sparse.csr_matrix, fractional: float) -> str | None:
    """Return how values were transformed, for messages; None if they look like counts.

    `fractional` is the share of the values that are not whole.
    """
    if fractional > 0.5 and counts.data.max() <= MAX_LOG_VALUE:
        return f"log-transformed ({fractional:.0%} of its values are fractions, none is above {MAX_LOG_VALUE:g})"
    cells = np.linspace(0, counts.shape[0] - 1, min(MAX_CELLS, counts.shape[0]), dtype=int)
    sample = counts[cells]
    sample = sparse.csr_matrix(sample[sample.getnnz(axis=1) > 0], dtype=np.float64)
    if not sample.nnz:
        return None
    if _is_normalised(sample, TOTALS_TOLERANCE):
        return f"normalised ({fractional:.0%} of its values are fractions, and cells are scaled to the same total)"
    for name, inverse in INVERSES.items():
        if inverse is not np.square and sample.data.max() > MAX_LOG_VALUE:  # no logarithm is larger
            continue
        restored = sample.copy()
        restored.data = inverse(sample.data)
        if _is_whole(restored.data).mean() > 0.999 or _is_normalised(restored, RESTORED_TOLERANCE):
            return name
    return None


def _is_normalised(values: sparse.csr_matrix, tolerance: float) -> bool:
    """Return whether cells were divided by their totals, before or after genes were removed.

    Then either all totals are equal within the `tolerance`, or each cell holds whole multiples of
    its own unit, above 1 in some cells. The removal of ambient RNA, which subtracts from counts,
    has neither effect.
    """
    totals = np.asarray(values.sum(axis=1)).ravel()
    if len(totals) > 1 and np.mean(np.abs(totals / np.median(totals) - 1) < tolerance) >= MIN_SHARE:
        return True
    units = np.minimum.reduceat(values.data, values.indptr[:-1])
    row_of_value = np.repeat(np.arange(len(units)), np.diff(values.indptr))
    n_not_multiple = np.bincount(row_of_value, ~_is_whole(values.data / units[row_of_value]), minlength=len(units))
    has_unit = (n_not_multiple == 0) & (np.diff(values.indptr) > 4)
    if has_unit.mean() < MIN_SHARE:
        return False
    units = units[has_unit]
    units_differ = np.mean(np.abs(units / np.median(units) - 1) > 1e-3) > 0.5
    return bool(units_differ and np.mean(units > 1.001) > 0.05)


def _is_whole(values: Values) -> NDArray[np.bool_]:
    """Return which values are whole numbers within the precision of float32."""
    return np.abs(values - np.round(values)) < 1e-3 + 1e-6 * values


def _advice(adata: AnnData, layer: str | None) -> str:
    """Return advice for messages: where `adata` holds counts, judged by the first cells."""
    candidates: list[str | None] = [*layer_names(adata)]
    if layer is not None and adata.X is not None:
        candidates.insert(0, None)
    first = adata[:100]
    found = [
        name for name in candidates if name != layer and _look_like_counts(first.layers[name] if name else first.X)
    ]
    if found:
        return "Pass " + " or ".join(f"`layer={name!r}`" for name in found) + ", which holds whole numbers."
    if adata.raw is not None and _look_like_counts(adata.raw.X[:100]):
        if adata.var_names.isin(adata.raw.var_names).all():
            return (
                '`adata.raw` holds whole numbers: run `adata.layers["counts"] = adata.raw[:, adata.var_names].X` and pass '
                '`layer="counts"`.'
            )
        return "`adata.raw` holds whole numbers: pass `adata.raw.to_adata()`."
    return (
        "Pass the `layer` that holds them, or start again from the raw data: keep them with "
        '`adata.layers["counts"] = adata.X.copy()` before normalising.'
    )


def _look_like_counts(sample: Any) -> bool:
    """Return whether a matrix holds whole numbers and no negative ones."""
    values = np.asarray(sample.data if sparse.issparse(sample) else sample[...])
    return bool(
        values.size and np.isfinite(values).all() and (values >= 0).all() and (values == np.round(values)).all()
    )
