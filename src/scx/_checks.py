"""Checks of arguments. They fail before training and writing, and say what to do next."""

import reprlib
import warnings
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PACKAGE = str(Path(__file__).parent)
"""Folder of the package."""


def warn(message: str) -> None:
    """Warn at the line of the user's code that called the package."""
    warnings.warn(message, UserWarning, skip_file_prefixes=(PACKAGE,))


def short_repr(value: Any) -> str:
    """Return a text of at most one line that shows a value, for messages."""
    return (
        reprlib.repr(value)
        if isinstance(value, str | bytes | Real | list | tuple | set | dict | None)
        else f"an object of type {type(value).__name__}"
    )


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise unless `value` is one of the named `choices`."""
    listed = ", ".join(map(repr, choices))
    if not isinstance(value, str):
        msg = f"`{name}` must be one of {listed}, got {short_repr(value)}."
        raise TypeError(msg)
    if value not in choices:
        msg = f"Unknown `{name}`: {value!r}. Choose one of {listed}."
        raise ValueError(msg)


def check_positive_int(name: str, value: Any, *, minimum: int = 1, maximum: int | None = None, why: str = "") -> None:
    """Raise unless `value` is a whole number in [`minimum`, `maximum`]; the message says `why`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        msg = f"`{name}` must be a whole number, got {value!r}."
        raise TypeError(msg)
    if int(value) < minimum or (maximum is not None and int(value) > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        msg = f"`{name}` must be {bounds}{why}, got {value}."
        raise ValueError(msg)


def check_package(name: str, extra: str) -> None:
    """Raise unless a package is installed that only the `extra` of scx brings."""
    if find_spec(name) is None:
        msg = f"This function needs {name}. Install it with `pip install {name}`; it is in the extra `scx-tools[{extra}]`."
        raise ImportError(msg)


def check_n_jobs(n_jobs: Any) -> None:
    """Raise unless `n_jobs` is None or a number of processes as joblib counts them."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral)):
        msg = f"`n_jobs` must be None or a whole number, got {short_repr(n_jobs)}."
        raise TypeError(msg)
    if n_jobs == 0:
        msg = "`n_jobs` must not be 0: pass the number of processes, or -1 for one per core."
        raise ValueError(msg)


def check_epochs(name: str, epochs: Any, max_epochs: int) -> None:
    """Raise unless `epochs` lists numbers from 0, the state before training, to `max_epochs`."""
    if isinstance(epochs, str | Mapping) or not isinstance(epochs, Iterable):
        msg = f"`{name}` must list epochs, such as [1, 5, 20]; got {epochs!r}."
        raise TypeError(msg)
    for epoch in epochs:
        check_positive_int(name, epoch, minimum=0, maximum=max_epochs, why=" (the number of epochs)")


def check_n_clusters(n_clusters: Any, n_obs: int, n_types: int = 0) -> int | tuple[int, int] | None:
    """Return None, the number, or the least and the largest number, as plain integers.

    Raise unless all numbers are from 2 to `n_obs`, and a single one is at least `n_types`.
    """
    if n_clusters is None:
        return None
    if isinstance(n_clusters, Integral):
        check_positive_int("n_clusters", n_clusters, minimum=2, maximum=n_obs, why=" (the number of cells)")
        if n_clusters < n_types:
            msg = (
                f"The labels have {n_types} types, more than `n_clusters={n_clusters}`. Pass a larger number, or None."
            )
            raise ValueError(msg)
        return int(n_clusters)
    bounds = tuple(n_clusters)
    if len(bounds) != 2:
        msg = f"`n_clusters` must be a number, or the least and the largest number, such as (4, 20); got {short_repr(n_clusters)}."
        raise ValueError(msg)
    if n_types:
        msg = f"With labels, `n_clusters` must be one number or None, got {short_repr(n_clusters)}: known types and new groups set the number."
        raise ValueError(msg)
    for bound in bounds:
        check_positive_int("n_clusters", bound, minimum=2, maximum=n_obs, why=" (the number of cells)")
    low, high = map(int, bounds)
    if low > high:
        msg = f"`n_clusters={short_repr(n_clusters)}` must name the least number first."
        raise ValueError(msg)
    return low, high


def check_resolution(resolution: float | None, n_clusters: object, name: str, algorithm: str) -> None:
    """Raise if a `resolution` is passed but not used; argument `name` chooses the `algorithm`."""
    if resolution is None:
        return
    if algorithm != "leiden":
        msg = (
            f'`resolution` is only for Leiden, but `{name}` is {algorithm!r}. Pass `{name}="leiden"`, or leave it out.'
        )
        raise ValueError(msg)
    if n_clusters is not None:
        msg = "Pass either `n_clusters` or `resolution`: with `n_clusters`, the resolution is searched."
        raise ValueError(msg)


def check_key(parameter: str, key: Any, where: str, names: Iterable[Any]) -> None:
    """Raise unless `key`, passed as `parameter`, is one of the `names` in ``adata.{where}``."""
    names = list(names)
    if key not in names:
        msg = f"Unknown `{parameter}`: {key!r}. `adata.{where}` holds {', '.join(map(repr, names)) or 'nothing'}."
        raise ValueError(msg)


def check_several(name: str, values: Any) -> list[str]:
    """Return the distinct names in `values`; raise unless there are at least two."""
    names = list(dict.fromkeys([values] if isinstance(values, str) else values))
    if len(names) < 2:
        msg = f"`{name}` must list at least two different names, got {values!r}."
        raise ValueError(msg)
    return names


def check_weights(weights: Any, names: Collection[str]) -> list[float]:
    """Return one positive weight for each of the `names`, all different."""
    if isinstance(weights, str | Mapping) or not isinstance(weights, Iterable):
        msg = f"`weights` must list one number for each key, got {short_repr(weights)}."
        raise TypeError(msg)
    numbers = np.asarray(list(weights))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        msg = f"`weights` must list one number for each key, got {short_repr(weights)}."
        raise TypeError(msg)
    if len(numbers) != len(names):
        msg = f"`weights` must list one number for each key: there are {len(names)} different keys and {len(numbers)} weights."
        raise ValueError(msg)
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        msg = (
            f"`weights` must be positive and finite, got {short_repr(weights)}. Leave out the keys that must not count."
        )
        raise ValueError(msg)
    return [float(weight) for weight in numbers]


def check_mask(name: str, mask: Any, names: pd.Index, noun: str) -> NDArray[np.bool_]:
    """Return a mask over genes or cells as an array; raise unless it is one.

    A Series is aligned by its index.

    Parameters
    ----------
    name
        Argument that holds the mask, for messages.
    mask
        One True or False for each of the `names`.
    names
        Names of the genes or cells.
    noun
        ``"gene"`` or ``"cell"``, for messages.
    """
    if isinstance(mask, pd.Series) and not mask.index.equals(names):
        index = mask.index
        unknown, missing = index[~index.isin(names)], names[~names.isin(index)]
        if len(unknown) or len(missing) or index.has_duplicates or names.has_duplicates:
            examples = [*unknown[:3].tolist(), *missing[:3].tolist()]
            msg = (
                f"{name} is a Series whose index must hold the name of each {noun} once; {len(unknown)} of its names are unknown, "
                f"{len(missing)} are missing{f', such as {examples}' if examples else ''}. Pass an array to match by position."
            )
            raise ValueError(msg)
        mask = mask.reindex(names)
    values = mask.array if isinstance(mask, pd.Series) else mask
    if getattr(values, "dtype", None) == "boolean" and not pd.isna(values).any():
        values = values.astype(bool)
    values = np.array(values)
    if values.dtype != bool or values.shape != (len(names),):
        msg = (
            f"{name} must hold one True or False per {noun}, {len(names)} in all; "
            f"got shape {values.shape} of {values.dtype}."
        )
        raise ValueError(msg)
    return values


def check_subset(subset: Any, names: pd.Index) -> NDArray[np.bool_]:
    """Return `subset` as a mask over cells, all True for None; raise unless it keeps a cell."""
    if subset is None:
        return np.ones(len(names), dtype=bool)
    mask = check_mask("`subset`", subset, names, "cell")
    if not mask.any():
        msg = "`subset` keeps no cell. Pass a mask with at least one True, or None for all cells."
        raise ValueError(msg)
    return mask


def check_rng(rng: Any) -> None:
    """Raise unless `rng` is a seed or a numpy generator."""
    if not isinstance(rng, np.random.Generator):
        try:
            check_positive_int("rng", rng, minimum=0)
        except TypeError:
            msg = f"`rng` must be a whole number or a numpy.random.Generator, got {rng!r}."
            raise TypeError(msg) from None


def check_arguments(name: str, passed: Any, allowed: Iterable[str]) -> None:
    """Raise if keyword arguments are not `allowed`.

    They were `passed` as a dict under `name`, or each by itself if `name` is empty.
    """
    if passed is not None and not isinstance(passed, Mapping):
        msg = f"`{name}` must be a dict of keyword arguments, got {type(passed).__name__}."
        raise TypeError(msg)
    allowed = sorted(allowed)
    unknown = [str(entry) for entry in passed or () if entry not in allowed]
    if unknown:
        msg = f"Unknown {f'entries of `{name}`' if name else 'arguments'}: {', '.join(unknown)}. Known are {', '.join(allowed)}."
        raise TypeError(msg)


def check_no_conflict(name: str, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Raise if one of the `options`, passed under `name`, differs from an argument of its name."""
    for argument, value in arguments.items():
        if argument in options and options[argument] != value:
            msg = f"`{argument}={value}` contradicts `{name}[{argument!r}]={options[argument]}`. Pass only one of them."
            raise ValueError(msg)


def check_model_dir(model_dir: str | Path) -> Path:
    """Return the folder to save the model in, with ``~`` expanded; raise unless it can be created.

    To find out, the folder is created and removed.
    """
    argument = f"`model_dir={str(model_dir)!r}`"
    try:
        folder = Path(model_dir).expanduser().absolute()
        exists, has_parent = folder.exists(), folder.parent.is_dir()
        if has_parent and not exists:
            folder.mkdir()
            folder.rmdir()
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no space, invalid name; no home folder
        msg = f"{argument} cannot be created: {error}. Pass a folder that you may write to."
        raise ValueError(msg) from error
    if exists:
        msg = f"{argument} exists already. Pass a folder that does not exist, or delete it first."
        raise ValueError(msg)
    if not has_parent:
        msg = f"{argument} is in a folder that does not exist. Create that folder with `pathlib.Path({str(folder.parent)!r}).mkdir(parents=True)`."
        raise ValueError(msg)
    return folder


def check_curve(where: str, values: Any) -> None:
    """Raise unless `values`, stored in ``adata`` at `where`, are one-dimensional numbers."""
    curve = np.asarray(values)
    if curve.ndim != 1 or not curve.size or curve.dtype.kind not in "fiu":
        msg = f"`adata.{where}` must be a one-dimensional array of numbers. The record was changed: run the method behind `key` again."
        raise ValueError(msg)
