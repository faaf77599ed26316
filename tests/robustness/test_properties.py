"""However anndata lets data be stored, named and laid out: the same bits as from the plain form, and nothing else touched.

Of the examples, 300 run by default, 10,000 by ``make fuzz``.
"""

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from scipy import sparse

import scx
from conftest import field_arguments
from robustness.identical import assert_identical, frozen
from robustness.table import SOURCE, said
from scx._methods import METHODS
from scx._workflow.keys import Keys

N_OBS, N_VARS = 20, 8
KEY = "key"
TOTAL = 10_000 if settings.get_current_profile_name() == "fuzz" else 300


def share(part: float) -> settings:
    """Return settings with that part of all examples."""
    return settings(max_examples=round(part * TOTAL))


# the plain form


@cache
def counts(seed: int, binary: bool) -> np.ndarray:
    """Return counts of two groups, some in every cell and every gene."""
    rng = np.random.default_rng(seed)
    means = np.where((np.arange(N_VARS) % 2 == 0) == (np.arange(N_OBS)[:, None] < N_OBS // 2), 6.0, 0.7)
    drawn = rng.poisson(means)
    drawn[np.arange(N_OBS), np.arange(N_OBS) % N_VARS] += 1
    drawn[drawn.any(axis=1).cumsum() % 2 == 0, 0] += 1
    return (drawn > 0).astype(np.int64) if binary else drawn


def labels() -> np.ndarray:
    """Return the types of some cells, 1 and 2, and 0 for none."""
    return np.where(np.arange(N_OBS) % 3 == 2, 0, 1 + (np.arange(N_OBS) >= N_OBS // 2))


@cache
def expected(function: str, seed: int, binary: bool, recipe: str = "default") -> ad.AnnData:
    """Return what comes of the plain form."""
    adata = ad.AnnData(sparse.csr_matrix(counts(seed, binary), dtype=np.float32), obs=pd.DataFrame(index=_names(N_OBS)))
    adata.obs["some_labels"] = np.array(["", "1", "2"], dtype=object)[labels()]
    return run(function, adata, recipe=recipe, copy=True)


def _names(n: int) -> list[str]:
    return [f"name{i}" for i in range(n)]


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out warnings, of which anndata has many about odd data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run(function: str, adata: ad.AnnData, **kwargs: object) -> ad.AnnData:
    """Call a method, quickly."""
    quick = {"max_epochs": 1, "batch_size": 16, "mask_var": None, "key_added": KEY}
    with quietly():
        return getattr(scx.tl, function)(
            adata, **{"n_clusters": 2, **quick, **field_arguments(METHODS[function]), **kwargs}
        )


# every other form

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES = [*INTEGERS, "float32", "float64", "bool", "float16", ">f4", ">i2"]


@st.composite
def matrices(draw: st.DrawFn, values: np.ndarray) -> object:
    """A matrix of these counts in any dtype and storage that anndata takes."""
    binary = values.max() == 1
    dtype = np.dtype(draw(st.sampled_from([name for name in DTYPES if binary or name != "bool"])))
    dense = values.astype(dtype)
    kind = draw(
        st.sampled_from(["C", "F", "strided", "reversed", "read-only", "csr", "csc", "csr_array", "csc_array", "messy"])
    )
    if dtype == np.float16 or not dtype.isnative:
        kind = draw(st.sampled_from(["C", "F", "strided", "read-only"]))  # scipy has no such sparse matrices
    event(f"{kind}")
    note(f"{kind} of {dtype}")
    match kind:
        case "F":
            return np.asfortranarray(dense)
        case "strided":
            return np.repeat(np.repeat(dense, 2, axis=0), 3, axis=1)[::2, ::3]
        case "reversed":
            return np.ascontiguousarray(dense[::-1, ::-1])[::-1, ::-1]
        case "read-only":
            dense.setflags(write=False)
            return dense
        case "csr" | "csc" | "csr_array" | "csc_array":
            name = kind if kind.endswith("_array") else f"{kind}_matrix"
            matrix = getattr(sparse, name)(dense)
            if draw(st.booleans()):
                matrix.data.setflags(write=False)
            if draw(st.booleans()):
                matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
            return matrix
        case "messy":
            return _messy(dense, np.random.default_rng(draw(st.integers(0, 9))))
        case _:
            return dense


def _messy(dense: np.ndarray, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return CSR with stored zeros, counts in two parts, and columns out of order."""
    rows = []
    for row in dense:
        columns = np.arange(len(row))
        parts = np.where(row > 1, 1, 0).astype(dense.dtype)
        first = row if dense.dtype == bool else row - parts
        columns, data = np.concatenate([columns, columns]), np.concatenate([first, parts])
        order = rng.permutation(len(columns))
        rows.append((columns[order], data[order]))
    indptr = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    parts = [np.concatenate([row[i] for row in rows]) for i in (1, 0)]
    return sparse.csr_matrix((*parts, indptr), shape=dense.shape)


def names(n: int) -> st.SearchStrategy[pd.Index]:
    """Names of cells or genes of every kind."""
    plain = _names(n)
    return st.sampled_from(
        [
            pd.Index(plain),
            pd.Index(plain, dtype=object),
            pd.Index(plain, dtype="string"),
            pd.Index(plain, name="a name"),
            pd.Index([str(i) for i in range(n)]),
            pd.Index([f"{i}.0" for i in range(n)]),
            pd.Index([f"κύτταρο {i} 🧬/\\'\"" for i in range(n)]),
            pd.Index(["x" * 500 + str(i) for i in range(n)]),
            pd.Index([f"same{i // 2}" for i in range(n)]),
            pd.Index(["", *plain[1:]]),
        ]
    )


COLUMNS = {
    "categorical": lambda n: pd.Categorical([f"c{i % 3}" for i in range(n)], ordered=True),
    "categories that are numbers": lambda n: pd.Categorical([i % 3 for i in range(n)]),
    "unused categories": lambda n: pd.Categorical(["a"] * n, categories=["a", "b"]),
    "missing": lambda n: pd.Categorical([None, "a"] * (n // 2)),
    "nullable": lambda n: pd.array([None, *range(n - 1)], dtype="Int64"),
    "nullable boolean": lambda n: pd.array([None, *[True] * (n - 1)], dtype="boolean"),
    "strings": lambda n: pd.array(_names(n), dtype="string"),
    "NaN": lambda n: np.array([np.nan, *range(n - 1)], dtype=np.float16),
    "dates": lambda n: pd.date_range("2020", periods=n),
    "objects": lambda n: np.array([None, "a", 3.5, True] * (n // 4), dtype=object),
    "bool": lambda n: np.arange(n) % 2 == 0,
    "complex": lambda n: np.arange(n) * 1j,
}


def tables(n: int) -> st.SearchStrategy[dict[str, object]]:
    """Columns of every kind."""
    return st.lists(st.sampled_from(list(COLUMNS)), max_size=3, unique=True).map(
        lambda kinds: {kind: COLUMNS[kind](n) for kind in kinds}
    )


@st.composite
def forms(draw: st.DrawFn, values: np.ndarray) -> tuple[ad.AnnData, str | None]:
    """An AnnData that holds these counts, and the layer that holds them."""
    matrix = draw(matrices(values))
    in_layer = draw(st.booleans())
    everything = {"layers": {"counts": matrix}} if in_layer else {"X": matrix}
    if in_layer and draw(st.booleans()):
        everything["X"] = draw(st.sampled_from([np.log1p(values), np.full(values.shape, np.nan)]))
    with quietly():
        adata = ad.AnnData(
            **everything,
            obs=pd.DataFrame(draw(tables(N_OBS)), index=draw(names(N_OBS))),
            var=pd.DataFrame(draw(tables(N_VARS)), index=draw(names(N_VARS))),
        )
        further = draw(st.sets(st.sampled_from(["raw", "obsm", "frame", "obsp", "uns", "varm"]), max_size=3))
        if "raw" in further:
            adata.raw = ad.AnnData(np.ones((N_OBS, 3), dtype=np.float32), obs=adata.obs[[]])
        if "obsm" in further:
            adata.obsm["X_sparse"] = sparse.csr_matrix(np.eye(N_OBS))
        if "frame" in further:
            adata.obsm["frame"] = pd.DataFrame({"a": range(N_OBS)}, index=adata.obs_names)
        if "obsp" in further:
            adata.obsp["graph"] = sparse.csr_array(np.eye(N_OBS))
        if "varm" in further:
            adata.varm["loadings"] = np.asfortranarray(np.ones((N_VARS, 3)))
        if "uns" in further:
            adata.uns = {"nested": {"a": np.arange(3), "b": {"c": "x"}}, KEY[:-1]: [1, "x"]}
    adata.obs["some_labels"] = draw(labels_in_every_form())
    return adata, "counts" if in_layer else None


def labels_in_every_form() -> st.SearchStrategy[object]:
    """The labels, in every form that says the same."""
    codes = labels()
    text = np.array(["", "1", "2"], dtype=object)[codes]
    return st.sampled_from(
        [
            text,
            pd.Categorical(text),
            pd.Categorical(np.where(text == "", None, text), categories=["2", "1", "unused"]),
            pd.array(text, dtype="string"),
            pd.array(np.where(text == "", None, text), dtype="string"),
            np.where(codes == 0, np.nan, codes.astype(float)),
            pd.array(np.where(codes == 0, None, codes), dtype="Int64"),
            pd.Categorical(np.where(codes == 0, np.nan, codes.astype(float))),
            np.where(text == "", None, text),
            np.array([np.nan, 1, "2"], dtype=object)[codes],
        ]
    )


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised by our own check."""
    innermost = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
    return isinstance(error, TypeError | ValueError) and innermost.startswith(SOURCE)


def assert_result(adata: ad.AnnData, plain: ad.AnnData) -> None:
    """Raise unless both have the same result, bit by bit."""
    for where in ("obs", "obsm"):
        for name in getattr(plain, where):
            if name != "some_labels":
                here, there = (np.asarray(getattr(data, where)[name]) for data in (adata, plain))
                assert here.dtype == there.dtype, name
                np.testing.assert_array_equal(here, there, err_msg=name)
    assert adata.uns[KEY]["n_clusters"].keys() == plain.uns[KEY]["n_clusters"].keys()


NAMES = st.sampled_from(list(METHODS))


@pytest.mark.slow
@share(0.5)
@given(
    data=st.data(), method=NAMES, seed=st.integers(0, 2), binary=st.booleans(), copy=st.booleans(), view=st.booleans()
)
def test_stored_anyhow(data, method, seed, binary, copy, view):
    recipe = data.draw(st.sampled_from(["default", "default", "paper"]))
    adata, layer = data.draw(forms(counts(seed, binary)))
    if view:
        several = adata[np.arange(3 * N_OBS) % N_OBS].copy() if data.draw(st.booleans()) else adata
        adata = several[np.arange(N_OBS)] if data.draw(st.booleans()) else several[:N_OBS]
    before = frozen(adata)
    result = run(method, adata, layer=layer, recipe=recipe, copy=copy)
    assert_result(result if copy else adata, expected(method, seed, binary, recipe))
    if copy:
        assert_identical(adata, before)
    # a view that is written to becomes an object of its own, and copies of scipy's matrices may have indices of another dtype
    whole = frozen(several[:N_OBS].copy() if view else adata.copy()) if view or copy else before
    assert_identical(result if copy else adata, whole, ignore=Keys(KEY).everything)


@pytest.mark.slow
@share(0.1)
@given(data=st.data(), method=NAMES, seed=st.integers(0, 2), copy=st.booleans(), view=st.booleans())
def test_on_disk(data, method, seed, copy, view):
    adata, layer = data.draw(forms(counts(seed, False)))
    if adata.X is None:  # anndata cannot read that backed
        adata.X = np.zeros(adata.shape)
    with TemporaryDirectory() as folder, quietly():
        path = Path(folder) / "data.h5ad"
        try:
            adata.write_h5ad(path)
        except Exception as error:  # noqa: BLE001  # anndata cannot store it
            event(f"not writable: {type(error).__name__}")
            return
        backed = ad.read_h5ad(path, backed="r")
        try:
            used = backed[np.arange(N_OBS) % 2 < 2] if view else backed
            before = frozen(used)
            try:
                result = run(method, used, layer=layer, copy=copy)
            except (TypeError, ValueError) as error:
                assert is_ours(error), said(error)
                assert view and not copy, said(error)  # the one form that is refused
                assert_identical(used, before)
                return
            assert_result(result if copy else used, expected(method, seed, False))
            assert_identical(used, before, ignore=() if copy else Keys(KEY).everything)
        finally:
            backed.file.close()


@share(0.15)
@given(
    data=st.data(),
    dtype=st.sampled_from(["float16", "float32", "float64", "int8", "int64", "uint8", ">f4"]),
    layout=st.sampled_from(["C", "F", "read-only", "frame", "list", "strided"]),
    method=st.sampled_from(["kmeans", "gmm", "ward"]),
)
def test_an_embedding_stored_anyhow(data, dtype, layout, method):
    """`tl.cluster` reads the same numbers from every dtype and layout."""
    values = counts(0, False)
    adata = ad.AnnData(obs=pd.DataFrame(index=data.draw(names(N_OBS))))
    stored = values.astype(dtype)
    match layout:
        case "F":
            stored = np.asfortranarray(stored)
        case "read-only":
            stored.setflags(write=False)
        case "strided":
            stored = np.repeat(stored, 2, axis=1)[:, ::2]
        case "frame":
            stored = pd.DataFrame(stored, index=adata.obs_names)
    adata.obsm["X_any"] = stored
    plain = ad.AnnData(obs=pd.DataFrame(index=_names(N_OBS)), obsm={"X_any": values.astype(np.float32)})
    before = frozen(adata)
    for each in (adata, plain):
        scx.tl.cluster(each, 2, use_rep="X_any", method=method, key_added=KEY)
    assert adata.obs[KEY].astype(str).tolist() == plain.obs[KEY].astype(str).tolist()
    np.testing.assert_allclose(adata.obs[f"{KEY}_confidence"], plain.obs[f"{KEY}_confidence"], rtol=1e-5)
    assert_identical(adata, before, ignore=Keys(KEY).everything)


@share(0.15)
@given(
    data=st.data(),
    method=NAMES,
    value=st.sampled_from([np.nan, np.inf, -1.0, "logged", "scaled", "cells without counts"]),
)
def test_what_is_no_count_is_refused(data, method, value):
    """Wherever it is, and before any training."""
    values = counts(0, False).astype(np.float64)
    if value == "logged":
        values = np.log1p(values / values.sum(axis=1, keepdims=True) * 1e4)
    elif value == "scaled":
        values = (values - values.mean(axis=0)) / values.std(axis=0)
    elif value == "cells without counts":
        values[data.draw(st.integers(0, N_OBS - 1))] = 0
    else:
        values[data.draw(st.integers(0, N_OBS - 1)), data.draw(st.integers(0, N_VARS - 1))] = value
    matrix = data.draw(st.sampled_from([np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_array]))(values)
    adata = ad.AnnData(matrix.astype(data.draw(st.sampled_from(["float32", "float64"]))))
    adata.obs["some_labels"] = np.array(["", "1", "2"], dtype=object)[labels()]
    before = frozen(adata)
    with pytest.raises(ValueError, match=r"adata\.X") as caught:
        run(method, adata)
    assert is_ours(caught.value)
    assert_identical(adata, before)


@pytest.mark.slow
@share(0.1)
@given(data=st.data(), method=NAMES, form=st.sampled_from(["h5ad", "zarr"]))
def test_results_are_written_and_read(data, method, form):
    """What could be written before can be written after, and comes back as it was."""
    adata, layer = data.draw(forms(counts(0, False)))
    with TemporaryDirectory() as folder, quietly():
        try:
            getattr(adata, f"write_{form}")(Path(folder) / "before")
        except Exception as error:  # noqa: BLE001  # anndata cannot store it
            event(f"not writable: {type(error).__name__}")
            return
        run(method, adata, layer=layer)
        getattr(adata, f"write_{form}")(Path(folder) / "after")
        back = getattr(ad, f"read_{form}")(Path(folder) / "after")
    assert_result(back, expected(method, 0, False))
