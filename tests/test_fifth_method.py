"""A new method needs only what docs/contributing.md lists under "Adding a method"."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scx

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PACKAGE = Path(scx.__file__).parent

ADDED_LINES = {
    "_methods.py": ("    for method in (\n", '        Method("toy", "Toy", "scx.model._toy"),\n'),
    "tl/__init__.py": ("from scx.tl._cicl import cicl as cicl\n", "    from scx.tl._toy import toy as toy\n"),
    "model/__init__.py": ("from scx.model._cicl import CICL as CICL\n", "    from scx.model._toy import Toy as Toy\n"),
}
"""By file: the line after which a line is added, and the added line."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a copy of the package that has a fifth method."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, folder / "scx", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("model", "tl"):
        shutil.copy(TESTS / "fifth_method" / room / "_toy.py", folder / "scx" / room)
    for name, (line, added) in ADDED_LINES.items():
        file = folder / "scx" / name
        before, after = file.read_text().split(line)
        file.write_text(before + line + added + after)
    return folder


def run(source, *arguments):
    """Run tests in a process that imports the copy; return its report, with the passed tests."""
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-rp", "-p", "no:cacheprovider", *arguments],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout


def test_namespaces_have_it(source):
    assert "PASSED tests/test_methods.py::test_row[toy]" in run(source, "tests/test_methods.py")


def test_it_keeps_the_contract(source):
    """Signature, written fields, same result in one and another process, storage, save and load."""
    report = run(source, "tests/test_contract.py", "-k", "toy")
    assert "PASSED tests/test_contract.py::test_signature[toy]" in report
    assert "PASSED tests/test_contract.py::test_same_seed_same_result_in_another_process[toy]" in report
