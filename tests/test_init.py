import subprocess
import sys

import pytest

import scx

HEAVY = ("torch", "scvi", "scanpy", "anndata", "sklearn", "lightning", "matplotlib", "pandas", "numpy")


def test_import_loads_nothing_heavy():
    script = f"import sys, scx; print([name for name in {HEAVY} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_namespaces_are_there_on_first_use():
    assert callable(scx.tl.contrastive)
    assert set(scx.__all__) <= set(dir(scx))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        scx.nothing  # noqa: B018
