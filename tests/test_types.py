"""Every public function refuses an argument that is not of the type in its signature, in one way."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import scx
from scx._types import check_type, typed


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("8", int | None, "`p` must be a whole number or None, got '8'."),
        (True, int, "`p` must be a whole number, got True."),
        (2.5, int, "`p` must be a whole number, got 2.5."),
        (1j, float, "`p` must be a number, got an object of type complex."),
        (1, bool, "`p` must be True or False, got 1."),
        (3, str | Path | None, "`p` must be a string, a path or None, got 3."),
        ("ab", Sequence[str], "`p` must be a list of strings, got 'ab'."),
        (["a", 3], Sequence[str], "`p` must be a list of strings, got ['a', 3]."),
        (["a"], Sequence[float], "`p` must be a list of numbers, got ['a']."),
        ({"a": "b"}, str | Mapping[str, Sequence[str]], "`p` must be a string or a dict, got {'a': 'b'}."),
        ({3: 1}, dict[str, Any], "`p` must be a dict, got {3: 1}."),
        (np.array(3), NDArray[np.bool_], "`p` must be an array, got an object of type ndarray."),
        ("x", NDArray, "`p` must be an array, got 'x'."),
        (0.5, int | np.random.Generator, "`p` must be a whole number or a numpy.random.Generator, got 0.5."),
        (pd.DataFrame(), str, "`p` must be a string, got an object of type DataFrame."),
    ],
)
def test_wrong_type(value, annotation, message):
    with pytest.raises(TypeError) as caught:
        check_type("p", value, annotation)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (np.int64(3), int | None),
        (None, int | None),
        (3, float),
        (np.float32(3), float),
        (np.True_, bool),
        (np.array(["a"]), Sequence[str]),
        (pd.Index(["a"]), Sequence[str]),
        ([], Sequence[str]),
        ({"a": ["x"]}, Mapping[str, Sequence[str]]),
        (pd.Series([True]), NDArray[np.bool_]),
        ([True], NDArray[np.bool_]),
        (object(), Any),
    ],
)
def test_right_type(value, annotation):
    check_type("p", value, annotation)


def test_the_function_does_not_run_and_defaults_pass():
    ran = []
    default = object()

    @typed
    def function(a: int, *, b: str | None = default, **kwargs: Any) -> None:  # type: ignore[assignment]
        ran.append((a, b, kwargs))

    function(1, b=default, c=3)
    assert ran == [(1, default, {"c": 3})]
    with pytest.raises(TypeError, match="`b` must be a string or None, got 3"):
        function(1, b=3)
    with pytest.raises(TypeError, match=r"function\(\) missing a required argument: 'a'"):
        function(b="x")
    assert len(ran) == 1


@pytest.mark.parametrize("namespace", ["tl", "pl", "metrics", "datasets"])
def test_every_public_function_is_typed(namespace):
    module = getattr(scx, namespace)
    functions = [getattr(module, name) for name in module.__all__]
    assert [f.__name__ for f in functions if inspect.signature(f).parameters and not hasattr(f, "__wrapped__")] == []
