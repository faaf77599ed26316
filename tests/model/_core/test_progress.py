"""What the progress bar of training shows."""

import pytest
import scanpy as sc

import scx

EPOCHS = 4


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the states of the bar."""
    return capsys.readouterr().out.replace("\r", "\n").strip().splitlines()


def test_shows_phase_time_left_and_losses(pbmc, capsys):
    sc.settings.verbosity = 1
    scx.tl.infovae(pbmc, 3, max_epochs=EPOCHS, batch_size=64, n_top_genes=100)
    states = shown(capsys)
    assert "v_num" not in "".join(states)
    assert any(state.startswith("Autoencoder") for state in states)
    last = states[-1]
    history = pbmc.uns["infovae"]["history"]
    assert last.startswith("Clustering")
    assert f"epoch {EPOCHS}/{EPOCHS}, 00:00 left" in last
    assert f"loss={history['loss'][-1]:.3g}"[:8] in last


def test_a_single_phase_is_called_training(pbmc, capsys):
    sc.settings.verbosity = 1
    scx.tl.contrastive(pbmc, 3, max_epochs=2, batch_size=64, n_top_genes=100)
    assert all(state.startswith("Training") for state in shown(capsys)[1:])


def test_is_silent_if_not_asked_for(pbmc, capsys):
    scx.tl.contrastive(pbmc, 3, max_epochs=1, batch_size=64, n_top_genes=100)
    assert capsys.readouterr().out == ""
