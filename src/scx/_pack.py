"""Frozen dataclasses as plain values and arrays, and back. Nothing that is read can run code."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Plain = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
"""What JSON can hold."""
type Arrays = dict[str, NDArray[Any]]
"""Arrays by name."""


def pack(value: Any, arrays: Arrays, name: str) -> Plain:
    """Return `value` as a plain value; its arrays are added to `arrays`.

    Parameters
    ----------
    value
        None, number, text, array, or a tuple, dict or dataclass of these.
    arrays
        Changed in place: gets one entry for each array. An array that is there already is not
        added again.
    name
        Name of `value`; names of arrays start with it.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        name = next((known for known, array in arrays.items() if array is value), name)
        arrays[name] = value if value.dtype != object else value.astype(str)  # names
        return {"array": name}
    if isinstance(value, tuple | list):
        return [pack(entry, arrays, f"{name}.{i}") for i, entry in enumerate(value)]
    if isinstance(value, Mapping):
        return {"dict": {str(key): pack(entry, arrays, f"{name}.{key}") for key, entry in value.items()}}
    if not is_dataclass(value) or isinstance(value, type):
        msg = f"{name} is of type {type(value).__name__}, which cannot be saved."
        raise TypeError(msg)
    parts = {field.name: pack(getattr(value, field.name), arrays, f"{name}.{field.name}") for field in fields(value)}
    return {"class": type(value).__name__, "fields": parts}


def unpack(plain: Plain, arrays: Mapping[str, NDArray[Any]], classes: Iterable[type]) -> Any:
    """Return the value that :func:`pack` was given; lists are tuples.

    Parameters
    ----------
    plain
        What `pack` returned.
    arrays
        The arrays it added.
    classes
        All dataclasses that may be made.

    Raises
    ------
    KeyError, TypeError
        If `plain` was not made by `pack` from these classes.
    """
    if isinstance(plain, list):
        return tuple(unpack(entry, arrays, classes) for entry in plain)
    if not isinstance(plain, dict):
        return plain
    if "array" in plain:
        return arrays[str(plain["array"])]
    kind = "fields" if "class" in plain else "dict"
    entries = plain[kind]
    if not isinstance(entries, dict):
        msg = f"{kind!r} must be a dict."
        raise TypeError(msg)
    values = {key: unpack(entry, arrays, classes) for key, entry in entries.items()}
    return {cls.__name__: cls for cls in classes}[str(plain["class"])](**values) if kind == "fields" else values
