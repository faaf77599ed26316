"""The walk of a call through the package. No other module knows the order of the steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg

from scx import _anndata, _checks
from scx._clustering.checks import check_partition
from scx._clustering.consensus import consensus
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import NClusters
from scx._clustering.types import Partition
from scx._methods import Method
from scx._rng import spawn_seeds
from scx._workflow.inputs import Request, Target, check_algorithm, check_fit, check_target
from scx._workflow.keys import Keys
from scx._workflow.options import FitOptions
from scx._workflow.prepare import WorkingData, prepare
from scx._workflow.save import save
from scx._workflow.train import Snapshots, cluster_snapshots, combine, record_of, recorded_seed, run_once
from scx._workflow.write import NewCells, write


@dataclass(frozen=True)
class Result:
    """Results of a call: the input of step 6."""

    partition: Partition
    record: Mapping[str, Any]
    embedding: NDArray[np.float32] | None = None
    snapshots: Snapshots = field(default_factory=dict)
    outliers: NewCells | None = None


def fit_and_annotate(
    method: Method, adata: AnnData, n_clusters: NClusters, options: FitOptions, **field_arguments: Any
) -> AnnData | None:
    """Walk of a method: check, prepare, train, embed, cluster, write.

    `field_arguments` are the arguments that say which fields of ``obs`` the method reads.
    """
    # 1. check
    request = check_fit(method, adata, n_clusters, options, field_arguments)
    # 2. prepare
    start = logg.info(f"training {request.model_cls.__name__} on {adata.n_obs} cells")
    data = working_data(request)
    # 3. train, 4. embed, 5. cluster
    *run_seeds, consensus_seed = spawn_seeds(options["rng"], 2 * options["n_runs"] + 1)
    pairs = zip(run_seeds[::2], run_seeds[1::2], strict=True)
    runs = [run_once(request, data, train_seed, cluster_seed) for train_seed, cluster_seed in pairs]
    partition, kept = combine(runs, request.n_clusters, consensus_seed)
    partition = check_partition(partition, request.n_clusters)
    snapshots = cluster_snapshots(kept, request.algorithm)
    if request.model_dir is not None and partition.clusters is not None:
        kept.model.keep_reference(partition.clusters, kept.embedding, kept.cluster_seed)
    # 6. write
    result = Result(partition, record_of(request, kept, data.adata.n_vars), kept.embedding, snapshots)
    written = write_result(request.target, result, start)
    if request.model_dir is not None:
        save(kept.model.save, request.model_dir, written.uns[request.target.keys.uns], options["copy"])
    return written if options["copy"] else None


def working_data(request: Request) -> WorkingData:
    """Return the AnnData to train models on, with the fields of ``obs`` that they read."""
    data = prepare(
        request.counts,
        request.target.adata,
        layer=request.options["layer"],
        mask_var=request.mask,
        n_top_genes=request.options["n_top_genes"] or request.recipe.n_top_genes,
        min_cells=request.recipe.min_cells,
        batches=request.batches,
    )
    for obs_field in request.obs_fields:
        if obs_field.values is not None:
            data.adata.obs[obs_field.column] = obs_field.values
    return data


def cluster_and_annotate(
    adata: AnnData,
    n_clusters: NClusters,
    *,
    use_rep: str,
    method: str,
    resolution: float | None,
    key_added: str,
    rng: int | np.random.Generator,
    copy: bool,
) -> AnnData | None:
    """Walk of :func:`scx.tl.cluster`, with the same arguments: check, cluster, write."""
    target = check_target(adata, key_added, copy=copy, confidence=True)
    n_clusters = _checks.check_n_clusters(n_clusters, adata.n_obs)
    resolution = check_algorithm("method", method, n_clusters, resolution)
    _checks.check_rng(rng)
    embedding = _anndata.check_embedding(adata, use_rep)
    start = logg.info(f"clustering {adata.n_obs} cells")
    partition = fit_partition(embedding, n_clusters, method, spawn_seeds(rng, 1)[0], resolution)
    partition = check_partition(partition, n_clusters)
    settings = {"method": method, "use_rep": use_rep, "rng": recorded_seed(rng)}
    written = write_result(target, Result(partition, {"params": settings}), start)
    return written if copy else None


def agree_and_annotate(
    adata: AnnData,
    keys: Sequence[str],
    n_clusters: int | None,
    *,
    weights: Sequence[float] | None,
    key_added: str,
    rng: int | np.random.Generator,
    copy: bool,
) -> AnnData | None:
    """Walk of :func:`scx.tl.consensus`, with the same arguments: check, combine, write."""
    target = check_target(adata, key_added, copy=copy, agreement=True)
    given = _checks.check_n_clusters(n_clusters, adata.n_obs)
    assert not isinstance(given, tuple)  # refused by its type
    _checks.check_rng(rng)
    keys = _checks.check_several("keys", keys)
    if weights is not None:
        weights = _checks.check_weights(weights, keys)
    labellings = [_anndata.check_labels(adata, key) for key in keys]
    start = logg.info(f"finding the consensus of {len(keys)} clusterings of {adata.n_obs} cells")
    partition = consensus(labellings, given, spawn_seeds(rng, 1)[0], weights)
    partition = check_partition(partition, given)
    settings = {"method": "consensus", "keys": keys, "weights": weights, "rng": recorded_seed(rng)}
    written = write_result(target, Result(partition, {"params": settings}), start)
    return written if copy else None


def write_result(target: Target, result: Result, start: datetime) -> AnnData:
    """Write to the user's AnnData or to a copy in memory, and return it."""
    adata = target.adata
    if target.copy:
        adata = adata.to_memory() if adata.isbacked else adata.copy()
    write(
        adata,
        target.keys,
        partition=result.partition,
        record=result.record,
        embedding=result.embedding,
        snapshots=result.snapshots,
        outliers=result.outliers,
    )
    log_finished(start, target.keys, result)
    return adata


def log_finished(start: datetime, keys: Keys, result: Result) -> None:
    """Log what was added, as scanpy does."""
    partition = result.partition
    added = [f"{keys.clusters!r}, {partition.n_clusters} clusters (adata.obs)"]
    if partition.confidence is not None:
        added.append(f"{keys.confidence!r}, confidence of each cell's cluster (adata.obs)")
    if partition.prediction is not None:
        added.append(f"{keys.prediction!r}, most likely known type of each cell (adata.obs)")
        added.append(f"{keys.proba!r}, probability of each known type (adata.obsm)")
    if partition.agreement is not None:
        added.append(f"{keys.agreement!r}, agreement of the clusterings on each cell (adata.obs)")
    if result.outliers is not None:
        added.append(f"{keys.closest!r}, closest cluster, also of unknown cells (adata.obs)")
        added.append(f"{keys.outlier!r}, p-value for being like the cells of training (adata.obs)")
        added.append(f"{keys.outlier_score!r}, how unlike them each cell is (adata.obs)")
    if result.embedding is not None:
        added.append(f"{keys.embedding!r}, embedding (adata.obsm)")
    if result.snapshots:
        added.append(
            f"{keys.snapshot_embeddings!r}, {keys.snapshot_clusters!r}, embedding and clusters after epochs (adata.obsm)"
        )
    added.append(f"{keys.uns!r}, run record (adata.uns)")
    logg.info("    finished", time=start, deep="\n    ".join(["added", *added]))
