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


@pytest.fixture
def source(tmp_path):
    """A folder with a copy of the package that has a fifth method."""
    shutil.copytree(PACKAGE, tmp_path / "scx", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("model", "tl"):
        shutil.copy(TESTS / "fifth_method" / room / "_toy.py", tmp_path / "scx" / room)
    for name, (line, added) in ADDED_LINES.items():
        file = tmp_path / "scx" / name
        before, after = file.read_text().split(line)
        file.write_text(before + line + added + after)
    return tmp_path


def test_a_fifth_method_keeps_the_contract(source):
    """Namespaces, signature, written fields, same result in any process, saving, examples."""
    files = [f"tests/{name}" for name in ("test_methods.py", "test_contract.py", "test_examples.py")]
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", *files, "-k", "toy or test_methods.py"],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(source)},  # also for the processes that these tests start
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    for test in (
        "test_methods.py::test_type_checkers_see_the_registry",
        "test_methods.py::test_row[toy]",
        "test_contract.py::test_signature[toy]",
        "test_contract.py::test_same_seed_same_result_in_another_process[toy]",
        "test_examples.py::test_example[tl.toy]",
        "test_examples.py::test_example[model.Toy]",
    ):
        assert f"PASSED tests/{test}\n" in out.stdout
