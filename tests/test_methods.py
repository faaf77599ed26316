"""The registry, and what is generated from it."""

import ast
import inspect
import subprocess
import sys

import pytest

import scx
from scx._methods import METHODS


def imported_for_type_checkers(package):
    """Return the names that the block ``if TYPE_CHECKING`` of a package imports, with their modules."""
    (block,) = (statement for statement in ast.parse(inspect.getsource(package)).body if isinstance(statement, ast.If))
    return {alias.asname: line.module for line in block.body for alias in line.names if alias.asname == alias.name}


def test_type_checkers_see_the_registry():
    functions = {name: f"scx.tl._{name}" for name in METHODS}
    assert imported_for_type_checkers(scx.tl) == functions
    models = {method.model: method.module for method in METHODS.values()} | {"load": "scx.model._core.store"}
    assert imported_for_type_checkers(scx.model) == models


@pytest.mark.parametrize("name", METHODS)
def test_row(name):
    method = METHODS[name]
    assert method.name == name
    assert method.function is getattr(scx.tl, name)
    assert method.function.__name__ == name
    assert method.model_cls is getattr(scx.model, method.model)
    assert method.model_cls.__name__ == method.model
    assert method.model_cls.__module__ == method.module


def test_namespaces():
    others = ("attributions", "cluster", "consensus", "ensemble", "map_query")
    assert scx.tl.__all__ == sorted([*METHODS, *others])
    assert scx.model.__all__ == sorted(["load", *(method.model for method in METHODS.values())])
    for namespace in (scx.tl, scx.model):
        assert dir(namespace) == namespace.__all__
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            namespace.nothing  # noqa: B018


@pytest.mark.slow
def test_signatures_and_help_need_neither_torch_nor_scvi():
    script = (
        "import inspect, sys, scx.tl, scx.model, scx._methods\n"
        "functions = [getattr(scx.tl, name) for name in scx.tl.__all__]\n"
        "assert all(inspect.signature(function) and function.__doc__ for function in functions)\n"
        "print([name for name in ('torch', 'scvi', 'lightning') if name in sys.modules])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
