"""Options that all methods share."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Unpack, get_type_hints

import anndata as ad
import pytest

import scx
from scx._compat import MASK_VAR_DEFAULT
from scx._docs import field_docs
from scx._workflow.options import FitOptions, method_function


@method_function
def example(
    adata: ad.AnnData, n_clusters: int | None = None, *, own: str = "x", **options: Unpack[FitOptions]
) -> FitOptions:
    """Return the options.

    Parameters
    ----------
    {data}
    own
        An argument of its own.
    {options}
    """
    return options


def test_every_option_is_documented():
    assert list(field_docs(FitOptions)) == list(FitOptions.__annotations__)


def test_signature_lists_every_option():
    parameters = inspect.signature(example).parameters
    assert list(parameters) == ["adata", "n_clusters", "own", *FitOptions.__annotations__]
    assert parameters["n_runs"].default == 1
    assert parameters["n_runs"].annotation is int
    assert parameters["key_added"].default == "example"
    assert parameters["mask_var"].default is MASK_VAR_DEFAULT
    hints = get_type_hints(example)
    assert hints.pop("return") is FitOptions
    assert hints == {name: parameter.annotation for name, parameter in parameters.items()}


def test_docstring_lists_every_option():
    documented = inspect.getdoc(example)
    places = [documented.index(f"\n{name}\n    ") for name in inspect.signature(example).parameters]
    assert places == sorted(places)
    assert "{" not in documented.replace("{key_added}", "").replace('{"snapshot_epochs"', "")


def test_call_gets_every_option(pbmc):
    options = example(pbmc, n_runs=3)
    assert options.keys() == FitOptions.__annotations__.keys()
    assert options["n_runs"] == 3
    assert options["recipe"] == "default"
    assert options["key_added"] == "example"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_run": 3}, r"example\(\) got an unexpected keyword argument 'n_run'"),
        ({"n_runs": "3"}, "`n_runs` must be a whole number, got '3'"),
        ({"own": 3}, "`own` must be a string, got 3"),
    ],
)
def test_call_refuses(pbmc, arguments, message):
    with pytest.raises(TypeError, match=message):
        example(pbmc, **arguments)


CALLS = {
    'scx.tl.contrastive(adata, 8, n_runs=3, key_added="mine")': "",
    'scx.tl.semiaae(adata, labels_key="types", recipe="paper")': "",
    "scx.tl.contrastive(adata, n_run=3)": 'Unexpected keyword argument "n_run"',
    'scx.tl.contrastive(adata, n_runs="3")': 'Argument "n_runs" to "contrastive" has incompatible type "str"',
    "scx.tl.semiaae(adata, labels_key=3)": 'Argument "labels_key" to "semiaae" has incompatible type "int"',
    "scx.tl.contrastiv(adata)": 'has no attribute "contrastiv"',
}
"""Calls, and what a type checker says of them."""


@pytest.mark.slow
def test_type_checkers_see_names_and_types(tmp_path):
    header = ["import anndata as ad", "import scx", "adata = ad.AnnData()"]
    (tmp_path / "calls.py").write_text("\n".join([*header, *CALLS]))
    out = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "calls.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(scx.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    errors = dict(line.split(": error: ") for line in out.stdout.splitlines() if ": error: " in line)
    for line, (call, message) in enumerate(CALLS.items(), start=len(header) + 1):
        error = errors.pop(f"calls.py:{line}", "")
        assert message in error if message else not error, (call, error)
    assert not errors
