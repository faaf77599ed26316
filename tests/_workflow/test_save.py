"""The saved model; `tests/robustness/test_model_dir.py` has what can go wrong with folders."""

from pathlib import Path

import pytest
from scvi.model.base import BaseModelClass

import scx
from scx._workflow.save import save


class Model:
    """A model that saves one file; another process makes the folder in the meantime."""

    def __init__(self, folder):
        self.folder = folder

    def save(self, path):
        Path(path).mkdir()
        Path(path, "model.pt").write_text("ours")
        self.folder.mkdir()
        (self.folder / "model.pt").write_text("theirs")


def test_a_folder_made_during_training_is_not_overwritten(tmp_path):
    folder = tmp_path / "model"
    record = {"params": {"model_dir": str(folder), "rng": 0}}
    with pytest.raises(OSError, match="could not be saved"):
        save(Model(folder), folder, record, copy=False)
    assert (folder / "model.pt").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert record == {"params": {"rng": 0}}


def test_the_warning_about_a_copy_points_to_the_call(pbmc, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("No space left")

    monkeypatch.setattr(BaseModelClass, "save", fail)
    with pytest.warns() as warned:
        annotated = scx.tl.contrastive(pbmc, 3, max_epochs=1, n_top_genes=50, model_dir=tmp_path / "model", copy=True)
    places = [warning.filename for warning in warned if "could not be saved" in str(warning.message)]
    assert places == [__file__]
    assert "model_dir" not in annotated.uns["contrastive"]["params"]
