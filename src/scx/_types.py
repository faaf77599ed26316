"""Arguments against the types in a signature: every public function refuses a wrong type in one way."""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAliasType, Union, get_args, get_origin

import numpy as np
import pandas as pd
from anndata import AnnData

from scx._anndata import check_anndata
from scx._checks import shown

NAMES: dict[Any, tuple[str, str]] = {
    NoneType: ("None", "None"),
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
    dict: ("a dict", "dicts"),
    np.ndarray: ("an array", "arrays"),
    AnnData: ("an AnnData", "AnnData objects"),
    pd.DataFrame: ("a pandas.DataFrame", "pandas.DataFrames"),
}
"""What a message calls one, and several, of a type."""
NUMBERS: dict[Any, type] = {int: Integral, float: Real}
"""Numbers of numpy are numbers; True and False are none."""


def typed[F: Callable](function: F) -> F:
    """Raise TypeError if an argument is not of the type in the signature, before the function runs.

    A number counts as a float. Any collection but a string or a dict counts as a sequence or an
    array; the function checks the entries of an array. Entries of ``**kwargs`` and parameters without
    a type are not checked. The function gets every parameter, those with their defaults too.
    """
    signature = inspect.signature(function)
    collected = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:  # an argument is missing or unknown
            msg = f"{function.__name__}() {error}"
            raise TypeError(msg) from None
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind not in collected and value is not parameter.default:
                check_type(name, value, parameter.annotation)
        bound.apply_defaults()
        return function(*bound.args, **bound.kwargs)

    return checked  # type: ignore[return-value]


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Raise unless `value` is of the type `annotation`."""
    if is_of_type(value, annotation):
        return
    if annotation is AnnData:
        check_anndata(value)  # says more of what else there is
    options = [_name(option) for option in _options(annotation)]
    wanted = " or ".join([", ".join(options[:-1]), options[-1]] if len(options) > 1 else options)
    msg = f"`{name}` must be {wanted}, got {shown(value)}."
    raise TypeError(msg)


def is_of_type(value: Any, annotation: Any) -> bool:
    """Return whether `value` is of the type `annotation`."""
    if annotation in (Any, inspect.Parameter.empty):
        return True
    options = _options(annotation)
    if len(options) > 1:
        return any(is_of_type(value, option) for option in options)
    kind, entries = _kind_and_entries(annotation)
    if kind is NoneType or annotation is None:
        return value is None
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    if issubclass(kind, np.ndarray):
        return _is_collection(value)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (
            not entries or all(is_of_type(k, entries[0]) and is_of_type(v, entries[1]) for k, v in value.items())
        )
    if issubclass(kind, Collection) and entries:
        return _is_collection(value) and all(is_of_type(entry, entries[0]) for entry in value)
    return isinstance(value, kind)


def _options(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kind_and_entries(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the class of a type and the types of its entries, as ``list`` and ``(int,)``."""
    kind = get_origin(annotation) or annotation
    if isinstance(kind, TypeAliasType):  # NDArray of numpy ≥ 2.5
        kind = get_origin(kind.__value__)
    return kind, get_args(annotation)


def _is_collection(value: Any) -> bool:
    """Return whether a value lists other values; a string, a dict, a table and an array of no dimension do not."""
    listed = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | AnnData | pd.DataFrame)
    return listed and getattr(value, "ndim", 1) > 0


def _name(annotation: Any) -> str:
    kind, entries = _kind_and_entries(annotation)
    if issubclass(kind, Mapping):
        kind = dict
    elif issubclass(kind, Collection) and entries and not issubclass(kind, np.ndarray | str):
        return f"a list of {NAMES[entries[0]][1] if entries[0] in NAMES else _public_name(entries[0])}"
    return NAMES[kind][0] if kind in NAMES else f"a {_public_name(kind)}"


def _public_name(kind: type) -> str:
    """Return where users find a class, as ``numpy.random.Generator``."""
    modules = [module for module in kind.__module__.split(".") if not module.startswith("_")]
    return ".".join([*modules, kind.__name__])
