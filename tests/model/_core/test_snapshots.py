"""Embeddings kept at moments of training."""

import anndata as ad
import numpy as np
import pytest

import scx

EPOCHS = [0, 1, 2]


def test_result_is_that_without_and_the_last_is_the_end(method, pbmc):
    key = method.name
    watched = method.run(pbmc, train_kwargs={"snapshot_epochs": EPOCHS}, copy=True)
    plain = method.run(pbmc, copy=True)
    np.testing.assert_array_equal(watched.obsm[f"X_{key}"], plain.obsm[f"X_{key}"])
    assert watched.obs[key].tolist() == plain.obs[key].tolist()
    for name, curve in plain.uns[key]["history"].items():
        np.testing.assert_array_equal(watched.uns[key]["history"][name], curve)

    embeddings, clusters = watched.obsm[f"X_{key}_snapshots"], watched.obsm[f"{key}_snapshots"]
    assert embeddings.shape == (pbmc.n_obs, len(EPOCHS), plain.obsm[f"X_{key}"].shape[1])
    assert embeddings.dtype == np.float32
    assert clusters.shape == (pbmc.n_obs, len(EPOCHS))
    np.testing.assert_array_equal(watched.uns[key]["snapshots"], EPOCHS)
    np.testing.assert_array_equal(embeddings[:, -1], plain.obsm[f"X_{key}"])
    assert clusters[:, -1].astype(str).tolist() == plain.obs[key].tolist()
    moved = np.abs(np.diff(embeddings, axis=1)).mean(axis=(0, 2))
    assert np.min(moved) > 0

    assert not {f"X_{key}_snapshots", f"{key}_snapshots"} & set(plain.obsm)
    assert "snapshots" not in plain.uns[key]
    method.run(watched)  # what was kept of an earlier run goes with it
    assert not {f"X_{key}_snapshots", f"{key}_snapshots"} & set(watched.obsm)


def test_several_runs_keep_those_of_the_run_that_is_kept(pbmc):
    scx.tl.contrastive(
        pbmc, 4, n_runs=2, max_epochs=2, n_top_genes=100, train_kwargs={"snapshot_epochs": [2]}, cluster="gmm"
    )
    np.testing.assert_array_equal(pbmc.obsm["X_contrastive_snapshots"][:, 0], pbmc.obsm["X_contrastive"])


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_written_and_read(pbmc, tmp_path, form):
    scx.tl.contrastive(pbmc, None, max_epochs=3, n_top_genes=100, train_kwargs={"snapshot_epochs": (1, 3)})
    getattr(pbmc, f"write_{form}")(tmp_path / f"x.{form}")
    back = getattr(ad, f"read_{form}")(tmp_path / f"x.{form}")
    for name in ("X_contrastive_snapshots", "contrastive_snapshots"):
        np.testing.assert_array_equal(back.obsm[name], pbmc.obsm[name])
    np.testing.assert_array_equal(back.uns["contrastive"]["snapshots"], [1, 3])


@pytest.mark.parametrize(
    ("epochs", "error"), [([3], ValueError), ([-1], ValueError), ([0.5], TypeError), (2, TypeError)]
)
def test_epochs_that_are_none(pbmc, epochs, error):
    with pytest.raises(error, match="snapshot_epochs"):
        scx.tl.contrastive(pbmc, 4, max_epochs=2, n_top_genes=100, train_kwargs={"snapshot_epochs": epochs})
    assert list(pbmc.obsm) == []


def test_phases_are_recorded(pbmc):
    scx.tl.infovae(pbmc, 4, max_epochs=4, n_top_genes=100)
    assert pbmc.uns["infovae"]["phases"] == {"autoencoder": 1, "clustering": 4}
    scx.tl.infovae(pbmc, None, max_epochs=4, n_top_genes=100)
    assert "phases" not in pbmc.uns["infovae"]
    assert pbmc.uns["infovae"]["params"]["stopped_early"] is False
