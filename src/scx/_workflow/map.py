"""The walk of a call that maps new cells: check, prepare, embed, assign, write."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg

from scx import _anndata, _checks
from scx._config import Share, check_option
from scx._methods import METHODS
from scx._workflow.counts import check_counts_in_blocks
from scx._workflow.inputs import Target, check_model, check_target
from scx._workflow.walk import Result, write_result
from scx._workflow.write import NewCells

if TYPE_CHECKING:
    import pandas as pd

    from scx.model._core.ensemble import Ensemble
    from scx.model._core.model import DeepClusteringModel

MANY_UNKNOWN = 0.5
"""Share of unknown cells above which there is a warning."""


@dataclass(frozen=True)
class Query:
    """A checked call of :func:`scx.tl.map_query`."""

    target: Target
    model: "DeepClusteringModel | Ensemble"
    cells: Any
    """The cells as the model reads them."""
    outlier_alpha: float
    settings: dict[str, Any]
    """Arguments and what was found, for the run record."""


def map_and_annotate(
    adata: AnnData,
    model: object,
    *,
    key_added: str | None,
    layer: str | None,
    gene_key: str | None,
    outlier_alpha: float,
    copy: bool,
) -> AnnData | None:
    """Walk of :func:`scx.tl.map_query`, with the same arguments."""
    query = check_query(adata, model, key_added, layer, gene_key, outlier_alpha, copy=copy)
    start = logg.info(f"mapping {adata.n_obs} cells to {type(query.model).__name__}")
    checked = query.model
    assert checked.reference_ is not None
    mapped = checked.map_cells(query.cells)
    p_value = checked.reference_.outliers.p_value(mapped.score)
    new = NewCells(mapped.score, p_value, p_value < query.outlier_alpha)
    warn_of_unknown(new)
    result = Result(mapped.partition, {"params": query.settings}, mapped.embedding, outliers=new)
    written = write_result(query.target, result, start)
    return written if copy else None


def check_query(
    adata: AnnData,
    model: object,
    key_added: str | None,
    layer: str | None,
    gene_key: str | None,
    outlier_alpha: float,
    *,
    copy: bool,
) -> Query:
    """Return the checked call; raise if the model cannot map, or if it cannot map these cells."""
    from scx.model._core.preparation import gene_names

    checked, model_dir = check_model(model, "map new cells")
    if checked.reference_ is None:
        msg = (
            "`model` has no clusters for new cells. Train it with a method of `scx.tl`, which clusters the cells and "
            "saves the clusters in `model_dir`; or call `model.get_latent_representation(adata)` for the embedding alone."
        )
        raise ValueError(msg)
    names = {method.model: method.name for method in METHODS.values()} | {"Ensemble": "ensemble"}
    key = names[type(checked).__name__] if key_added is None else key_added
    _anndata.check_some_cells(adata)
    predicts = bool(getattr(checked, "types_", ()))
    target = check_target(
        adata, key, copy=copy, min_obs=1, confidence=True, embedding=True, prediction=predicts, outliers=True
    )
    _anndata.check_layer(adata, layer)
    _anndata.check_storage(adata, layer, copy=copy)
    alpha = check_option("outlier_alpha", outlier_alpha, Share)
    cells = checked.query(adata, layer, gene_key)
    check_counts_in_blocks(adata, layer)
    variance = checked.gene_variance
    is_missing = ~variance.index.isin(gene_names(adata, gene_key)[0])
    settings = {
        "method": "map_query",
        "model": type(checked).__name__,
        "model_dir": model_dir,
        "layer": layer,
        "gene_key": gene_key,
        "outlier_alpha": alpha,
        "n_genes": len(variance),
        "n_genes_missing": int(is_missing.sum()),
    }
    warn_of_missing(variance, is_missing)
    return Query(target, checked, cells, alpha, settings)


def warn_of_unknown(new: NewCells) -> None:
    """Warn if so many cells are unknown that something else than a new type is likely."""
    share = float(new.is_unknown.mean())
    if share > MANY_UNKNOWN and len(new.score) > 1:
        _checks.warn(
            f"{share:.0%} of the cells are unlike the cells of training. Another tissue, technology or treatment has this "
            "effect on all types. Compare the embeddings; the closest clusters are written too, and `outlier_alpha=0` "
            "keeps all cells in them."
        )


def warn_of_missing(variance: "pd.Series[float]", is_missing: NDArray[np.bool_]) -> None:
    """Warn if genes are missing, and say how much of the variance in training they had."""
    if is_missing.any():
        share = variance[is_missing].sum() / variance.sum()
        _checks.warn(
            f"{is_missing.sum()} of the {len(variance)} genes of the model are missing, with {share:.1%} of the variance of "
            "expression in training. They are filled as in the average cell of training."
        )
