"""Raw counts, told from what is made of them."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx._anndata import matrix_name

MAX_LOG_VALUE = 20.0
"""Largest value that logarithms of expression take: log2 of one million (counts per million of a single gene)."""
MAX_CELLS = 2_000
"""Cells that are looked at for signs of a transformation."""
MOST = 0.9
"""Share of cells that must show a sign."""
NEAR = 0.01
"""Totals that differ by less, relatively, are nearly the same; genes may have been left out after normalising."""
EQUAL = 1e-4
"""The same of restored values, in which a gene can outweigh all others."""
INVERSES: dict[str, Callable[[NDArray[np.floating]], NDArray[np.floating]]] = {
    "square-root-transformed": np.square,
    "log-transformed": np.expm1,
    "log-transformed (base 2)": lambda values: np.exp2(values) - 1,
    "log-transformed (base 10)": lambda values: 10**values - 1,
}
"""Transformations of counts or of normalised counts, and what takes them back."""


def check_counts(counts: sparse.csr_matrix, adata: AnnData, layer: str | None) -> None:
    """Raise unless the values can be counts: finite, not negative, neither transformed nor normalised, some in every cell.

    Fractional values, as quantifiers and removal of ambient RNA give them, raise a warning only.
    """
    source = matrix_name(layer)
    values = counts.data
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"{source} holds {n_bad} values that are NaN or infinite; raw counts are needed. {_where_counts_are(adata, layer)}"
        raise ValueError(msg)
    if values.size and values.min() < 0:
        msg = f"{source} holds negative values, so it looks scaled; raw counts are needed. {_where_counts_are(adata, layer)}"
        raise ValueError(msg)
    fractional = float(np.mean(values != np.round(values))) if values.size else 0.0
    sign = _sign_of_transformation(counts, fractional) if fractional else None
    if sign is not None:
        msg = f"{source} looks {sign}; raw counts are needed. {_where_counts_are(adata, layer)} If these are counts after all, round them first."
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
        warnings.warn(
            f"{source} holds fractional values ({fractional:.0%} of the non-zero ones). They are used as counts: "
            "make sure that they are neither normalised nor log-transformed.",
            UserWarning,
            stacklevel=2,
        )


def _sign_of_transformation(counts: sparse.csr_matrix, fractional: float) -> str | None:
    """Return what values, of which some are fractions, look like if not like counts."""
    if fractional > 0.5 and counts.data.max() <= MAX_LOG_VALUE:
        return f"log-transformed ({fractional:.0%} of its values are fractions, none is above {MAX_LOG_VALUE:g})"
    cells = np.linspace(0, counts.shape[0] - 1, min(MAX_CELLS, counts.shape[0]), dtype=int)
    sample = counts[cells]
    sample = sparse.csr_matrix(sample[sample.getnnz(axis=1) > 0], dtype=np.float64)
    if not sample.nnz:
        return None
    if _is_normalised(sample, NEAR):
        return f"normalised ({fractional:.0%} of its values are fractions, and cells are scaled to one total)"
    for name, inverse in INVERSES.items():
        if "log" in name and sample.data.max() > MAX_LOG_VALUE:
            continue
        restored = sample.copy()
        restored.data = inverse(sample.data)
        if _whole(restored.data).mean() > 0.999 or _is_normalised(restored, EQUAL):
            return name
    return None


def _is_normalised(values: sparse.csr_matrix, near: float) -> bool:
    """Return whether cells were divided by their totals, of all genes or of those that are left.

    Either totals are nearly the same, or each cell holds whole multiples of a unit of its own, above 1 in some cells. Removal of
    ambient RNA, which takes away from counts, does neither.
    """
    totals = np.asarray(values.sum(axis=1)).ravel()
    if np.mean(np.abs(totals / np.median(totals) - 1) < near) >= MOST:
        return True
    units = np.minimum.reduceat(values.data, values.indptr[:-1])
    row_of_value = np.repeat(np.arange(len(units)), np.diff(values.indptr))
    broken = np.bincount(row_of_value, ~_whole(values.data / units[row_of_value]), minlength=len(units))
    is_multiple = (broken == 0) & (np.diff(values.indptr) > 4)
    if is_multiple.mean() < MOST:
        return False
    units = units[is_multiple]
    differ = np.mean(np.abs(units / np.median(units) - 1) > 1e-3) > 0.5
    return bool(differ and np.mean(units > 1.001) > 0.05)


def _whole(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which values are whole numbers, as far as float32 can tell."""
    return np.abs(values - np.round(values)) < 1e-3 + 1e-6 * values


def _where_counts_are(adata: AnnData, layer: str | None) -> str:
    """Name where there are counts, by the look of their first cells."""
    candidates: list[str | None] = [name for name in list(adata.layers.keys()) if name is not None]
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
    values = np.asarray(sample.data if sparse.issparse(sample) else sample[...])
    return bool(
        values.size and np.isfinite(values).all() and (values >= 0).all() and (values == np.round(values)).all()
    )
