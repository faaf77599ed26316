"""The saved model; `tests/robustness/test_model_dir.py` has what can go wrong with folders."""

import pytest

import scx
from scx._workflow.save import save
from scx.model._core import store


def test_a_folder_made_during_training_is_not_overwritten(pbmc, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    as_files = store.as_files

    def meanwhile(model):
        folder.mkdir()
        (folder / "theirs").write_text("")
        return as_files(model)

    monkeypatch.setattr(store, "as_files", meanwhile)
    with pytest.raises(OSError, match="could not be saved"):
        scx.tl.contrastive(pbmc, 3, max_epochs=1, n_top_genes=50, model_dir=folder)
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert "model_dir" not in pbmc.uns["contrastive"]["params"]


class Full:
    """A model on a full disk."""

    def save(self, folder):
        raise OSError("No space left")


def test_only_the_folder_is_taken_out_of_the_record(tmp_path):
    record = {"params": {"model_dir": str(tmp_path / "model"), "rng": 0}}
    with pytest.raises(OSError, match="No space left"):
        save(Full().save, tmp_path / "model", record, copy=False)
    assert record == {"params": {"rng": 0}}


def test_the_warning_about_a_copy_points_to_the_call(pbmc, tmp_path, monkeypatch):
    monkeypatch.setattr(scx.model.Contrastive, "save", Full.save)
    with pytest.warns() as warned:
        annotated = scx.tl.contrastive(pbmc, 3, max_epochs=1, n_top_genes=50, model_dir=tmp_path / "model", copy=True)
    places = [warning.filename for warning in warned if "could not be saved" in str(warning.message)]
    assert places == [__file__]
    assert "model_dir" not in annotated.uns["contrastive"]["params"]
