"""The warning about the other distribution that is imported as ``scx``."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import scx
from scx._namesake import warn_of_namesake


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution of this name, which owns this file."""

    def make(name: str, file: str) -> None:
        folder = tmp_path / f"{name}-1.3.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.3.0\n")
        (folder / "RECORD").write_text(f"{file},,\n")
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
        monkeypatch.syspath_prepend(tmp_path)

    return make


def test_warns_of_the_namesake(install):
    install("scx", "scx/__init__.py")
    with pytest.warns(UserWarning, match=r"`scx` 1.3.0 is installed.*`pip uninstall scx`.*--force-reinstall"):
        warn_of_namesake()


@pytest.mark.parametrize(("name", "file"), [("scx", "_editable_impl_scx.pth"), ("scx_more", "scx/__init__.py")])
def test_is_silent_about_others(install, name, file):
    install(name, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_namesake()


def test_warning_is_at_the_import_of_the_user(install, tmp_path):
    install("scx", "scx/__init__.py")
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(Path(scx.__file__).parents[1])!r}, {str(tmp_path)!r}]\nimport scx\n"
    )
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert done.stderr.startswith(f"{script}:3: UserWarning: The distribution `scx`")
