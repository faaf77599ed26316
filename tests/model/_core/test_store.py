"""Saved models: they come back as they were, or there is a clear error. No code of a file runs."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import scx
from conftest import EVERY_CASE, usable
from scx.model._core import store

FILES = (store.MANIFEST, store.MODEL, store.ARRAYS, store.WEIGHTS)
KEPT = Path(__file__).parents[2] / "saved_models"
"""A folder for each method, written by the first version of the format."""
N_CELLS = 20
TINY = {
    "cicl": {"n_latent": 8, "n_hidden": 16, "n_projection": [8, 8]},
    "contrastive": {"n_hidden": [16], "n_latent": 8},
    "infovae": {"n_hidden": [16], "n_latent": 4},
    "semiaae": {"n_hidden": [16], "n_latent": 8, "n_decoder": [16], "n_discriminator": [8]},
}


def new_cells():
    return scx.datasets.pbmc68k_reduced()[-N_CELLS:].copy()


@pytest.fixture(params=EVERY_CASE, ids=str)
def method(request):
    return usable(request.param)


@pytest.mark.parametrize("kwargs", [{}, {"recipe": "paper"}, {"n_runs": 2}], ids=str)
def test_a_model_comes_back_as_it_was(method, pbmc, tmp_path, kwargs):
    method.run(pbmc, model_dir=tmp_path / "model", **kwargs)
    model = scx.model.load(tmp_path / "model")
    assert type(model) is method.model_cls
    assert model.is_trained
    assert model.adata is None
    assert not model.module.training
    key = method.name
    np.testing.assert_array_equal(model.get_latent_representation(pbmc), pbmc.obsm[f"X_{key}"])
    for name, curve in model.history.items():
        np.testing.assert_array_equal(
            curve[name].reindex(range(method.quick["max_epochs"])), pbmc.uns[key]["history"][name]
        )
    if "labels_key" in method.fields:
        np.testing.assert_array_equal(model.predict(pbmc), pbmc.obs[f"{key}_prediction"].astype(str))
    assert list(pbmc.obs[key].cat.categories) == list(model.reference_.clusters.names)[: pbmc.obs[key].nunique()]
    model.save(tmp_path / "again")
    again = scx.model.load(tmp_path / "again")
    np.testing.assert_array_equal(again.get_latent_representation(pbmc), pbmc.obsm[f"X_{key}"])


def test_a_model_without_clusters_and_training_comes_back(method, pbmc, tmp_path):
    method.model_cls.setup_anndata(pbmc, **method.fields)
    model = method.model_cls(pbmc, recipe="paper")
    model.save(str(tmp_path / "model"))
    loaded = method.model_cls.load(tmp_path / "model", pbmc)
    assert loaded.module.config == model.module.config
    assert not loaded.is_trained
    assert loaded.reference_ is None
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, loaded.module.state_dict()[name])
    assert loaded.adata is not None


def test_load_of_a_class_takes_only_this_class(kept):
    with pytest.raises(ValueError, match=r"another class, Contrastive: call `scx.model.load`"):
        scx.model.InfoVAE.load(kept)


def test_a_folder_is_overwritten_only_when_told(kept, tmp_path):
    model = scx.model.load(kept)
    (kept / "other").write_text("")
    with pytest.raises(ValueError, match=r"exists already.*`overwrite=True`"):
        model.save(kept)
    model.save(kept, overwrite=True)
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["model"]


def test_loading_leaves_the_random_state_alone(kept):
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = pickle.dumps(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    scx.model.load(kept)
    assert pickle.dumps(np.random.get_state()) == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


# What was written once


@pytest.mark.skipif("SCX_WRITE_MODELS" not in os.environ, reason="writes the folders that the next test reads")
@pytest.mark.parametrize("name", TINY)
def test_write(name):
    adata = scx.datasets.pbmc68k_reduced()[:200].copy()
    adata.obs["some"] = adata.obs["bulk_labels"].astype(str).where(np.arange(200) % 2 == 0, "Unknown")
    fields = {"labels_key": "some"} if name == "semiaae" else {"n_clusters": 4}
    folder = KEPT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    getattr(scx.tl, name)(
        adata, **fields, n_top_genes=40, max_epochs=2, model_kwargs=TINY[name], model_dir=folder / "model"
    )
    model = scx.model.load(folder / "model")
    np.save(folder / "embedding.npy", model.get_latent_representation(new_cells()))


@pytest.mark.parametrize("name", TINY)
def test_models_of_the_first_version_load(name):
    folder = KEPT / name
    model = scx.model.load(folder / "model")
    np.testing.assert_allclose(
        model.get_latent_representation(new_cells()), np.load(folder / "embedding.npy"), atol=1e-5
    )
    assert sum(file.stat().st_size for file in (folder / "model").iterdir()) < 100_000


# What is broken


@pytest.fixture
def kept(tmp_path):
    """A copy of a kept model, to break."""
    shutil.copytree(KEPT / "contrastive" / "model", tmp_path / "model")
    return tmp_path / "model"


def corrupted(data, rng):
    """Return other bytes: some are changed, cut off, left out, put in, or swapped."""
    changed = data
    while changed == data:
        start, stop = sorted(rng.integers(len(data) + 1, size=2))
        match rng.integers(6):
            case 0:  # one bit
                place = rng.integers(len(data))
                changed = data[:place] + bytes([data[place] ^ (1 << rng.integers(8))]) + data[place + 1 :]
            case 1:
                changed = data[:start]
            case 2:
                changed = data[:start] + data[stop:]
            case 3:
                changed = data[:start] + rng.bytes(stop - start) + data[stop:]
            case 4:
                changed = data[:start] + rng.bytes(rng.integers(1, 9)) + data[start:]
            case 5:
                changed = data[stop:] + data[start:stop] + data[:start]
    return changed


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "method", [name if name == "contrastive" else pytest.param(name, marks=pytest.mark.slow) for name in TINY]
)
def test_every_corruption_is_noticed(tmp_path, method, name):
    kept = tmp_path / "model"
    shutil.copytree(KEPT / method / "model", kept)
    rng = np.random.default_rng(0)
    data = (kept / name).read_bytes()
    for _ in range(500):
        (kept / name).write_bytes(corrupted(data, rng))
        with pytest.raises(ValueError, match=r"not as it was written|of another program|has format"):
            scx.model.load(kept)
    (kept / name).write_bytes(data)
    scx.model.load(kept)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(kept, name):
    (kept / name).unlink()
    with pytest.raises(ValueError, match=f"holds no model of scx: {name} is missing"):
        scx.model.load(kept)
    (kept / name).mkdir()
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        scx.model.load(kept)


def test_what_is_no_folder_of_a_model_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "scvi").mkdir()
    (tmp_path / "scvi" / "model.pt").write_bytes(pickle.dumps({}))
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "app"}')
    for name, message in {
        "none": "there is no such folder",
        "file": "it is not a folder",
        "scvi": "its format is that of scvi-tools",
        "web": "manifest.json is of another program",
    }.items():
        with pytest.raises(ValueError, match=f"{message}.*`model_dir`"):
            scx.model.load(tmp_path / name)


def rewrite(folder, **changed):
    """Change files and write a manifest that fits them."""
    files = {name: (folder / name).read_bytes() for name in FILES[1:]} | changed
    for name, data in {**files, store.MANIFEST: store._manifest("Contrastive", files)}.items():
        (folder / name).write_bytes(data)


def test_a_newer_format_is_refused(kept, monkeypatch):
    monkeypatch.setattr(store, "FORMAT_VERSION", store.FORMAT_VERSION + 1)
    rewrite(kept)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"has format 3, .* reads formats up to 2. Update scx"):
        scx.model.load(kept)


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled_array(path):
    return lambda file: np.savez(file, genes=np.array([Payload(path)], dtype=object))


@pytest.mark.parametrize("name", FILES[1:])
def test_no_code_of_a_file_runs(kept, tmp_path, name):
    """Somebody wrote a pickle into a file, and a manifest that fits it."""
    from io import BytesIO

    ran = tmp_path / "ran"
    contents = [pickle.dumps(Payload(ran))]
    for write in (pickled_array(ran), lambda file: torch.save({"genes": Payload(ran)}, file)):
        buffer = BytesIO()
        write(buffer)
        contents.append(buffer.getvalue())
    for content in contents:
        rewrite(kept, **{name: content})
        with pytest.raises(ValueError, match="does not hold a model that this version of scx can make"):
            scx.model.load(kept)
        assert not ran.exists()


def test_only_classes_of_models_are_made(kept):
    plain = json.loads((kept / store.MODEL).read_bytes())
    for change in ({"class": "Path"}, {"fields": {**plain["fields"], "model": "os"}}, {"fields": {}}):
        rewrite(kept, **{store.MODEL: json.dumps(plain | change).encode()})
        with pytest.raises(ValueError, match="does not hold a model"):
            scx.model.load(kept)


def test_history_keeps_its_form(pbmc, tmp_path):
    scx.model.InfoVAE.setup_anndata(pbmc)
    model = scx.model.InfoVAE(pbmc, n_clusters=3)
    model.train(4, enable_progress_bar=False)
    model.save(tmp_path / "model")
    loaded = scx.model.load(tmp_path / "model")
    assert loaded.history.keys() == model.history.keys()
    for name, curve in model.history.items():
        pd.testing.assert_frame_equal(loaded.history[name], curve.astype(float), check_index_type=False)
