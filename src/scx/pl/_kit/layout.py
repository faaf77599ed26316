"""The layout of an embedding in two dimensions: one that is stored, or a UMAP."""

from typing import Any

import numpy as np
import scanpy as sc
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg

from scx import _anndata
from scx._workflow.read import find_stored_layout, umap_name

N_NEIGHBORS = 15
"""Neighbours of each cell in a UMAP that is computed here, scanpy's default."""
MIN_UMAP_CELLS = 5
"""Fewer cells than this have no UMAP in two dimensions."""


def find_layout(
    adata: AnnData, use_rep: str, *, basis: str | None = None, rng: int = 0
) -> tuple[str, NDArray[np.floating]]:
    """Return a two-dimensional layout of an embedding: its name, and the array, shape (n_cells, 2).

    Parameters
    ----------
    adata
        Written to only if `basis` names a layout that does not exist yet.
    use_rep
        The embedding, an array of ``obsm``.
    basis
        The layout, an array of ``obsm``. None takes the embedding itself if it has two dimensions,
        or else a stored UMAP of it: ``obsm[f"X_umap_{key}"]``, or ``obsm["X_umap"]`` if
        ``uns["neighbors"]`` was computed from the embedding. If there is none, it is computed on a
        copy.
    rng
        Seed of the UMAP.
    """
    if basis is not None and basis not in adata.obsm and f"X_{basis}" in adata.obsm:
        basis = f"X_{basis}"
    if basis is None:
        basis = find_stored_layout(adata, use_rep)
    if basis is not None and basis in adata.obsm:
        layout = _anndata.check_representation(adata, "basis", basis)
        if layout.shape[1] < 2:
            msg = f"`adata.obsm[{basis!r}]` has one dimension; a plot needs two. Pass another `basis`."
            raise ValueError(msg)
        return basis.removeprefix("X_").split("_")[0], layout[:, :2]
    if basis is not None and (not basis.strip() or "/" in basis):
        msg = f"`basis={basis!r}` is no name for a layout. Pass one such as {umap_name(use_rep)!r}."
        raise ValueError(msg)
    embedding = _anndata.check_representation(adata, "key", use_rep)
    _anndata.check_some_cells(adata, MIN_UMAP_CELLS)
    start = logg.info(f"computing neighbors and UMAP of {use_rep!r}")
    layout = compute_umap(embedding, rng=rng)
    if basis is not None:
        adata.obsm[basis] = layout
        done = f"added\n    {basis!r}, UMAP (adata.obsm)"
    else:
        done = f"not stored: pass `basis={umap_name(use_rep)!r}` to store it and to reuse it next time"
    logg.info("    finished", time=start, deep=done)
    return "umap", layout


def compute_umap(
    embedding: NDArray[np.floating], *, start: NDArray[np.float32] | None = None, rng: int = 0
) -> NDArray[np.float32]:
    """Return scanpy's UMAP of an embedding, shape (n_cells, 2); it begins at `start`, if passed."""
    n_cells = len(embedding)
    adata = AnnData(shape=(n_cells, 0))
    adata.obsm["X"] = embedding
    init: Any = "spectral"
    if start is not None:
        adata.obsm["start"] = start
        init = "start"
    verbosity, sc.settings.verbosity = sc.settings.verbosity, 0
    try:
        sc.pp.neighbors(adata, n_neighbors=min(N_NEIGHBORS, n_cells - 1), use_rep="X", random_state=rng)
        sc.tl.umap(adata, init_pos=init, random_state=rng)
    finally:
        sc.settings.verbosity = verbosity
    return np.asarray(adata.obsm["X_umap"], dtype=np.float32)
