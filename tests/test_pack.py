import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scx._pack import pack, unpack


@dataclass(frozen=True)
class Inner:
    points: Any
    scale: Any = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    names: tuple[str, ...]
    report: dict[str, Any]
    again: Any


def through_json(value, classes=(Inner, Outer)):
    arrays = {}
    plain = json.loads(json.dumps(pack(value, arrays, "x")))
    return unpack(plain, arrays, classes), arrays


def test_what_was_packed_comes_back():
    points = np.arange(6.0).reshape(2, 3)
    value = Outer(
        Inner(points, np.float32(0.5)), ("a", "b"), {"n": np.int64(3), "class": True, "array": np.arange(2)}, points
    )
    back, arrays = through_json(value)
    assert type(back.inner) is Inner
    np.testing.assert_array_equal(back.inner.points, points)
    assert back.inner.scale == 0.5
    assert back.names == ("a", "b")
    assert back.report["n"] == 3
    assert back.report["class"] is True
    np.testing.assert_array_equal(back.report["array"], [0, 1])
    assert back.again is back.inner.points
    assert sorted(arrays) == ["x.inner.points", "x.report.array"]


def test_names_of_any_kind_become_text():
    back, _ = through_json(Inner(np.array(["a", "gene of a long name"], dtype=object)))
    assert back.points.dtype.kind == "U"
    assert back.points.tolist() == ["a", "gene of a long name"]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", Inner])
def test_other_objects_are_not_packed(value):
    with pytest.raises(TypeError, match=r"x\.points.*cannot be saved"):
        pack(Inner(value), {}, "x")


@pytest.mark.parametrize(
    "plain",
    [
        {"class": "Popen", "fields": {}},
        {"class": "Inner", "fields": {"points": 1, "more": 2}},
        {"class": "Inner", "fields": [1]},
        {"class": ["Inner"], "fields": {}},
        {"array": "none"},
        {"neither": 1},
    ],
)
def test_what_pack_did_not_make_is_refused(plain):
    with pytest.raises((KeyError, TypeError)):
        unpack(plain, {}, (Inner,))
