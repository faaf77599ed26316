"""Imports point down the layers, and no module imports itself through others."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import scx
from scx._methods import METHODS

LAYERS = [
    grimp.Layer("demo"),
    grimp.Layer("tl", "pl", "metrics", "datasets", independent=False),
    grimp.Layer("_workflow"),
    grimp.Layer("model"),
    grimp.Layer("_methods", "_clustering", independent=True),
    grimp.Layer("_config"),
    grimp.Layer("_namesake"),
    grimp.Layer("_types"),
    grimp.Layer("_anndata"),
    grimp.Layer("_checks", "_compat", "_docs", "_matrix", "_pack", "_parallel", "_rng", independent=True),
]
"""From the top. Imports within functions count, imports for type checkers do not."""
MODELS = [
    grimp.Layer(*(method.module.split(".")[2] for method in METHODS.values()), independent=True),
    grimp.Layer("_core"),
]
"""Layers within ``scx.model``: methods share only what is in the core."""
MAX_LINES = 350


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("scx", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize(("container", "layers"), [("scx", LAYERS), ("scx.model", MODELS)])
def test_imports_point_down(graph, container, layers):
    illegal = graph.find_illegal_dependencies_for_layers(layers, containers={container})
    chains = [f"{route.heads} → {route.middle} → {route.tails}" for found in illegal for route in found.routes]
    assert not chains


def test_every_module_has_a_layer(graph):
    named = {f"scx.{name}" for layer in LAYERS for name in layer.module_tails}
    assert graph.find_children("scx") == named
    methods = {f"scx.model.{name}" for layer in MODELS for name in layer.module_tails}
    assert graph.find_children("scx.model") == methods


def test_there_are_no_circles(graph):
    # `scx` and `scx.model` find their members at run time.
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    list(TopologicalSorter(imports).static_order())


def test_no_file_is_long():
    files = Path(scx.__file__).parent.rglob("*.py")
    long = {file.name: n for file in files if (n := len(file.read_text().splitlines())) > MAX_LINES}
    assert not long


@pytest.mark.slow
@pytest.mark.parametrize("namespace", ["scx", "scx.tl", "scx.pl", "scx.metrics", "scx.datasets", "scx.model"])
def test_namespaces_do_not_import_torch(namespace):
    code = f"import {namespace}, sys; print([name for name in ('torch', 'scvi') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
