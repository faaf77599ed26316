import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import scx
from scx.model._core.stopping import Instability


class Moving:
    """Stands for a model: hands out one embedding after another."""

    def __init__(self, embeddings):
        self.adata = type("Data", (), {"n_obs": len(embeddings[0])})
        self.embeddings = iter(embeddings)

    def embed_while_training(self, cells):
        return next(self.embeddings)[cells]


class Log(dict):
    """Stands for a training plan."""

    def log(self, name, value, prog_bar):
        self[name] = float(value)

    def phase_starts(self):
        return {}


def instability(before, after):
    callback, logged = Instability(Moving([before, after]).embed_while_training, len(before)), Log()
    callback.on_train_start(SimpleNamespace(early_stopping_callbacks=[]), logged)
    callback.on_train_epoch_end(None, logged)
    return logged["instability"]


def test_instability_sees_neighbourhoods_only():
    torch.manual_seed(0)
    embedding = torch.randn(400, 5)
    rotation = torch.linalg.qr(torch.randn(5, 5)).Q
    assert instability(embedding, embedding) == 0
    assert instability(embedding, 3 * embedding @ rotation + 1) == pytest.approx(0, abs=0.01)
    # of two unrelated embeddings a cell shares 15 · 15/399 neighbours on average
    assert instability(embedding, torch.randn(400, 5)) == pytest.approx(1 - 15 / 399, abs=0.02)
    moved = [instability(embedding, embedding + scale * torch.randn(400, 5)) for scale in (0.01, 0.1, 1)]
    assert moved == sorted(moved)


def test_instability_of_a_few_cells():
    embedding = torch.randn(4, 2)
    assert instability(embedding, torch.randn(4, 2)) == 0  # each has all others as neighbours


def test_stops_once_the_embedding_has_settled(method, pbmc, monkeypatch):
    """All neighbours change in the first five epochs, none later. Patience is five more, from the sixth or the last phase on."""
    course = itertools.chain(range(6), itertools.repeat(5))
    monkeypatch.setattr(Instability, "_find_neighbors", lambda _: torch.full((10, 1), next(course)))
    method.run(pbmc, max_epochs=40, train_kwargs={"early_stopping": True, "early_stopping_patience": 5})
    record = pbmc.uns[method.name]
    first = max(6, *record.get("phases", {"training": 1}).values())
    np.testing.assert_array_equal(record["history"]["instability"], [1.0] * 5 + [0.0] * (first - 5 + 5))
    assert len(record["history"]["loss"]) == first + 5


def test_watching_does_not_change_the_result(method, pbmc):
    watched = pbmc.copy()
    method.run(watched, train_kwargs={"early_stopping": True})
    method.run(pbmc)
    np.testing.assert_array_equal(watched.obsm[f"X_{method.name}"], pbmc.obsm[f"X_{method.name}"])
    assert len(watched.uns[method.name]["history"]["instability"]) == method.quick["max_epochs"]


def test_a_stopping_of_the_users_own_is_left_alone(pbmc):
    from lightning.pytorch.callbacks import EarlyStopping

    own = EarlyStopping(monitor="loss", patience=1, min_delta=100.0)
    kept = {"early_stopping": True, "callbacks": [own]}
    scx.tl.contrastive(pbmc, 4, max_epochs=9, n_top_genes=100, train_kwargs=kept)
    assert len(pbmc.uns["contrastive"]["history"]["loss"]) == 2
