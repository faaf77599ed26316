"""Check arguments against the types in a signature, the same way for every public function."""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAliasType, Union, cast, get_args, get_origin

import numpy as np
import pandas as pd
from anndata import AnnData

from scx._anndata import check_anndata
from scx._checks import short_repr

TYPE_NAMES: dict[Any, tuple[str, str]] = {
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
"""Words for a type in messages: for one value, and for several."""
NUMBER_TYPES: dict[Any, type] = {int: Integral, float: Real}
"""Classes of the values that ``int`` and ``float`` in a signature accept: also numpy's numbers.

True and False are instances of these classes, but :func:`is_of_type` does not accept them as
numbers.
"""


def typed[F: Callable[..., Any]](function: F) -> F:
    """Make a function raise TypeError, before it runs, if an argument has the wrong type.

    The types are those in the signature. ``float`` accepts whole numbers too. A sequence or an
    array can be any collection except strings and dicts; the function itself checks the entries of
    an array. Entries of ``**kwargs`` and parameters without a type are not checked. The function
    receives a value for every parameter, including those left at their defaults.
    """
    signature = inspect.signature(function)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:  # an argument is missing or unknown
            msg = f"{function.__name__}() {error}"
            raise TypeError(msg) from None
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind not in variadic and value is not parameter.default:
                check_type(name, value, parameter.annotation)
        bound.apply_defaults()
        return function(*bound.args, **bound.kwargs)

    return cast("F", checked)


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Raise unless `value` is of the type `annotation`."""
    if is_of_type(value, annotation):
        return
    if annotation is AnnData:
        check_anndata(value)  # its message has more details
    names = [_type_name(member) for member in _union_members(annotation)]
    expected = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    msg = f"`{name}` must be {expected}, got {short_repr(value)}."
    raise TypeError(msg)


def is_of_type(value: Any, annotation: Any) -> bool:
    """Return whether `value` is of the type `annotation`."""
    if annotation in (Any, inspect.Parameter.empty):
        return True
    members = _union_members(annotation)
    if len(members) > 1:
        return any(is_of_type(value, member) for member in members)
    kind, entries = _kind_and_entries(annotation)
    if kind is NoneType or annotation is None:
        return value is None
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind in NUMBER_TYPES:
        return isinstance(value, NUMBER_TYPES[kind]) and not isinstance(value, bool)
    if issubclass(kind, np.ndarray):
        return _is_collection(value)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (
            not entries or all(is_of_type(k, entries[0]) and is_of_type(v, entries[1]) for k, v in value.items())
        )
    if issubclass(kind, Collection) and entries:
        return _is_collection(value) and all(is_of_type(entry, entries[0]) for entry in value)
    return isinstance(value, kind)


def _union_members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union; any other type by itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kind_and_entries(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the class and the types of its entries: ``list`` and ``(int,)`` for ``list[int]``."""
    kind = get_origin(annotation) or annotation
    if isinstance(kind, TypeAliasType):  # NDArray of numpy ≥ 2.5
        kind = get_origin(kind.__value__)
    return kind, get_args(annotation)


def _is_collection(value: Any) -> bool:
    """Return whether a value is a collection, but no string, dict, table or array without axes."""
    is_collection = isinstance(value, Collection) and not isinstance(
        value, str | bytes | Mapping | AnnData | pd.DataFrame
    )
    return is_collection and getattr(value, "ndim", 1) > 0


def _type_name(annotation: Any) -> str:
    """Return the name of a type with its article, for messages."""
    kind, entries = _kind_and_entries(annotation)
    if issubclass(kind, Mapping):
        kind = dict
    elif issubclass(kind, Collection) and entries and not issubclass(kind, np.ndarray | str):
        return f"a list of {TYPE_NAMES[entries[0]][1] if entries[0] in TYPE_NAMES else _public_name(entries[0])}"
    return TYPE_NAMES[kind][0] if kind in TYPE_NAMES else f"a {_public_name(kind)}"


def _public_name(kind: type) -> str:
    """Return the name under which users import a class, such as ``numpy.random.Generator``."""
    modules = [module for module in kind.__module__.split(".") if not module.startswith("_")]
    return ".".join([*modules, kind.__name__])
