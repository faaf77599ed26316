"""The folder of the model: checked before training, there whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import scx
from robustness.identical import assert_identical, frozen

QUICK = {"max_epochs": 1, "n_top_genes": 50}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "exists already"),
        ("missing/model", r"does not exist. Create that folder with `pathlib.Path\(.*\).mkdir\(parents=True\)`"),
        ("a" * 300, "cannot be created"),
        ("a\0b", "cannot be created"),
        ("file/model", "does not exist"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_training(pbmc, tmp_path, monkeypatch, name, message):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(scx.model.Contrastive, "train", lambda *args, **kwargs: pytest.fail("trained"))
    before = frozen(pbmc)
    with pytest.raises(ValueError, match=f"`model_dir=.*{message}"):
        scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=f"{tmp_path}/{name}")
    assert_identical(pbmc, before)
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_a_folder_without_rights_is_refused(pbmc, tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ValueError, match=r"cannot be created: .*Permission denied.*that you may write to"):
        scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=tmp_path / "model")


def test_home_is_expanded(pbmc, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    scx.tl.contrastive(pbmc, 3, **QUICK, model_dir="~/model")
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208
    assert pbmc.uns["contrastive"]["params"]["model_dir"] == str(tmp_path / "model")
    scx.model.load("~/model")


@pytest.mark.parametrize("step", ["write_bytes", "rename"])
@pytest.mark.parametrize("error", [OSError("No space left"), KeyboardInterrupt()])
def test_results_outlive_a_model_that_cannot_be_saved(pbmc, tmp_path, monkeypatch, error, step):
    def fail(self, *args):
        raise error

    expected = pbmc.copy()
    scx.tl.contrastive(expected, 3, **QUICK)
    monkeypatch.setattr(Path, step, fail)
    with pytest.raises((OSError, KeyboardInterrupt)) as caught:
        scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=tmp_path / "model")
    if isinstance(error, OSError):
        assert "results are written, but the model could not be saved" in str(caught.value)
        assert "run the same call again" in str(caught.value)
    assert_identical(pbmc, frozen(expected))
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_copy_is_returned_when_its_model_cannot_be_saved(pbmc, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("No space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.warns(UserWarning, match="could not be saved"):
        annotated = scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=tmp_path / "model", copy=True)
    assert "contrastive" in annotated.obs


def test_the_model_appears_at_once(pbmc, tmp_path, monkeypatch):
    """Whoever is killed while saving leaves no folder under the name of the model."""
    seen = []
    write = Path.write_bytes

    def watch(self, data):
        write(self, data)
        seen.append((tmp_path / "model").exists())

    monkeypatch.setattr(Path, "write_bytes", watch)
    scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=tmp_path / "model")
    assert seen == [False] * 4
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208


KILLED = """
import sys, time
from pathlib import Path
import scx

write = Path.write_bytes

def write_half(self, data):
    write(self, data[: len(data) // 2])
    print("saving", flush=True)
    time.sleep(60)

Path.write_bytes = write_half
adata = scx.datasets.pbmc68k_reduced()[:60].copy()
scx.tl.contrastive(adata, 3, max_epochs=1, n_top_genes=50, model_dir=sys.argv[1])
"""


@pytest.mark.slow
def test_a_save_that_is_killed_leaves_no_model_and_the_next_works(pbmc, tmp_path):
    folder = tmp_path / "model"
    with subprocess.Popen([sys.executable, "-c", KILLED, folder], stdout=subprocess.PIPE, text=True) as child:
        reached = any(line.strip() == "saving" for line in child.stdout)
        child.kill()
    assert reached
    assert all(name.startswith(".scx-") for name in os.listdir(tmp_path))  # noqa: PTH208
    scx.tl.contrastive(pbmc, 3, **QUICK, model_dir=folder)
    scx.model.load(folder)
