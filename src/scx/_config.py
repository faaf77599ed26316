"""Options of models: fields of frozen dataclasses, and the function that checks their values.

The annotation of a field says which values are allowed: ``Annotated[float, Range(0, 1)]``,
``bool``, ``Literal["adam", "adadelta"]``, ``Sequence[Width]``, ``tuple[Width, Width]``,
``Width | None``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from scx._checks import check_arguments, check_choice, short_repr
from scx._types import check_type


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `above` and `below` exclude the lower and the upper bound."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.above else value >= self.low
        below = value < self.high if self.below else value <= self.high
        return bool(above and below and value < math.inf)  # NaN is neither

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.low:,.10g}"
        high = f"{'below' if self.below else 'at most'} {self.high:,.10g}"
        return low if self.high == math.inf else f"{low} and {high}"


Count = Annotated[int, Range(1, 1_000_000)]
"""A count, at least 1."""
Width = Annotated[int, Range(1, 100_000)]
"""Units of a layer. A larger number must be a mistake; it would fill the memory."""
BatchSize = Annotated[int, Range(2)]
"""Cells per training step."""
Share = Annotated[float, Range(0, 1)]
"""A fraction of a whole."""
Rate = Annotated[float, Range(0, 1, below=True)]
"""Probability of dropping a value; below 1, so that some values remain."""
Weight = Annotated[float, Range(0, 1e6)]
"""Weight of a loss."""
Positive = Annotated[float, Range(0, 1e6, above=True)]
"""A positive number, such as a scale."""
Noise = Annotated[float, Range(0, 100)]
"""Size of a perturbation of z-scores."""
Temperature = Annotated[float, Range(0.001, 100)]
"""Divisor of similarities. Outside this range exponentials overflow or all pairs look alike."""
LearningRate = Annotated[float, Range(0, 10, above=True)]
"""Larger steps diverge with every optimiser used here."""


def options_of(config: type) -> dict[str, Any]:
    """Return the annotation of each field of a configuration, a dataclass."""
    hints = get_type_hints(config, include_extras=True)
    return {field.name: hints[field.name] for field in fields(config)}


def check_options(name: str, options: Any, config: type, known: Iterable[str] | None = None) -> dict[str, Any]:
    """Return `options` as plain Python values; raise unless they can replace fields of `config`.

    Parameters
    ----------
    name
        Argument that holds the options, for messages; empty if each option is its own argument.
    options
        Mapping of names to values, or None for no options.
    config
        Dataclass; its annotations say which values are allowed.
    known
        Names that may be given; None for all fields.
    """
    annotations = options_of(config)
    check_arguments(name, options, annotations if known is None else known)
    return {
        option: check_option(f"{name}[{option!r}]" if name else option, value, annotations[option])
        for option, value in (options or {}).items()
    }


def check_option(name: str, value: Any, annotation: Any) -> Any:
    """Return `value` as a plain Python value; raise unless `annotation` allows it."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        (inner,) = (part for part in get_args(annotation) if part is not NoneType)
        return None if value is None else check_option(name, value, inner)
    if origin is Literal:
        check_choice(name, value, get_args(annotation))
        return str(value)
    if annotation is bool:
        check_type(name, value, bool)
        return bool(value)
    if origin is Annotated:
        kind, allowed = get_args(annotation)
        return _number(name, value, kind, allowed)
    return _sequence(name, value, annotation)


def _number(name: str, value: Any, kind: type, allowed: Range) -> Any:
    check_type(name, value, kind)
    if value not in allowed:
        msg = f"`{name}` must be {'a whole number' if kind is int else 'a number'}, {allowed}; got {short_repr(value)}."
        raise ValueError(msg)
    return kind(value)


def _sequence(name: str, value: Any, annotation: Any) -> tuple[Any, ...]:
    """Check ``Sequence[X]``, with at least one entry, and ``tuple[X, X]``."""
    parts = get_args(annotation)
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not is_sequence and not (isinstance(value, np.ndarray) and value.ndim == 1):
        msg = f"`{name}` must be a list, such as [128, 64]; got {short_repr(value)}."
        raise TypeError(msg)
    has_fixed_length = get_origin(annotation) is tuple
    if len(value) != len(parts) if has_fixed_length else len(value) == 0:
        msg = f"`{name}` must have {f'{len(parts)} entries' if has_fixed_length else 'at least one entry'}, got {short_repr(value)}."
        raise ValueError(msg)
    annotations = parts if has_fixed_length else parts * len(value)
    return tuple(check_option(f"{name}[{i}]", *pair) for i, pair in enumerate(zip(value, annotations, strict=True)))
