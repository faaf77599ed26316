"""Documentation that is read from the source, and filled into docstrings."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from scx._docs import document, field_docs, filled, parameter_docs


class Parent(TypedDict, total=False):
    """A parent."""

    first: int
    """What comes first."""
    silent: str


class Child(Parent):
    """A child."""

    second: str
    """What comes second,
    on two lines."""


@dataclass(frozen=True)
class Config:
    """A configuration."""

    width: int = 3
    """Units."""

    def method(self):
        """Not a field."""


@dataclass(frozen=True)
class Wider(Config):
    depth: int = 2
    """Layers."""
    width: int = 7
    """Units, many."""


def test_field_docs():
    assert field_docs(Parent) == {"first": "What comes first."}
    assert field_docs(Child) == {"first": "What comes first.", "second": "What comes second,\non two lines."}
    assert field_docs(Config) == {"width": "Units."}
    assert field_docs(Wider) == {"width": "Units, many.", "depth": "Layers."}


def test_field_docs_without_source():
    scope = {}
    exec("class Typed:\n    a: int\n    'Its docstring.'\n", scope)
    assert field_docs(scope["Typed"]) == {}
    assert field_docs(int) == {}


def test_parameter_docs_are_numpydoc():
    assert parameter_docs(field_docs(Child)) == (
        "first\n    What comes first.\nsecond\n    What comes second,\n    on two lines."
    )


def test_filled():
    assert (
        filled("Before.\n\n    {a}\n    {b}\n", {"a": "x\n    y", "b": "z"}) == "Before.\n\n    x\n        y\n    z\n"
    )
    assert filled(None, {"a": "x"}) is None


def test_document():
    @document
    def plot():
        """Draw.

        {plot_returns}
        """

    assert "The Axes if ``show=False``" in plot.__doc__
    assert "{" not in plot.__doc__


def test_without_docstrings():
    """``python -OO`` removes docstrings of functions; those of fields are in the source."""
    script = "import test_docs as t; print(t.document(t.test_document).__doc__, t.field_docs(t.Config))"
    out = subprocess.run(
        [sys.executable, "-OO", "-c", script],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
    )
    assert out.stdout.strip() == "None {'width': 'Units.'}"
