"""The walk of a call through the package: the only place that knows the order of the steps."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg

from scx import _anndata, _checks
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.checks import check_partition
from scx._clustering.consensus import consensus, consensus_of_runs
from scx._clustering.fit import fit_partition
from scx._clustering.types import Partition
from scx._config import Positive, check_option
from scx._matrix import read_counts
from scx._methods import Method
from scx._rng import global_seed, spawn_seeds
from scx._workflow import inputs
from scx._workflow.counts import check_counts
from scx._workflow.keys import LABELS, SIZE_FACTOR, Keys
from scx._workflow.options import FitOptions
from scx._workflow.prepare import prepare, resolve_mask_var
from scx._workflow.write import write

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel


def fit_and_annotate(
    method: Method,
    adata: AnnData,
    n_clusters: int | None,
    options: FitOptions,
    labels_key: str | None = None,
    unlabeled_category: str = "",
) -> AnnData | None:
    """Check, prepare, train, embed, cluster, write.

    Labels are for models whose ``setup_anndata`` takes a `labels_key`.
    """
    model_cls = method.model_cls
    layer, mask_var, recipe, rng = options["layer"], options["mask_var"], options["recipe"], options["rng"]
    n_top_genes, n_latent, n_runs = options["n_top_genes"], options["n_latent"], options["n_runs"]
    max_epochs, batch_size, resolution = options["max_epochs"], options["batch_size"], options["resolution"]
    accelerator, devices, copy = options["accelerator"], options["devices"], options["copy"]
    model_dir, model_kwargs, train_kwargs = options["model_dir"], options["model_kwargs"], options["train_kwargs"]
    cluster, key_added = options["cluster"], options["key_added"]
    from scx.model._core.session import quiet

    keys = Keys(key_added)

    # 1. check
    _anndata.check_anndata(adata)
    _anndata.check_layer(adata, layer)
    _anndata.check_storage(adata, layer, copy=copy)
    labels = inputs.check_given_labels(adata, labels_key, unlabeled_category, keys)
    _checks.check_n_clusters(n_clusters, adata.n_obs, n_types=0 if labels is None else len(labels.categories))
    _checks.check_choice("recipe", recipe, model_cls.recipes)
    chosen = model_cls.recipes[recipe]
    algorithm = chosen.cluster if cluster is None else cluster
    _checks.check_choice("cluster", algorithm, ALGORITHMS)
    resolution = check_option("resolution", resolution, Positive | None)
    _checks.check_resolution(resolution, n_clusters, "cluster", algorithm)
    if resolution is not None and labels is not None:
        msg = "`resolution` is not used with labels, whose types set the number of clusters. Leave it out."
        raise ValueError(msg)
    for name, value, minimum in (
        ("n_top_genes", n_top_genes, _anndata.MIN_GENES),
        ("n_latent", n_latent, 1),
        ("max_epochs", max_epochs, 1),
        ("batch_size", batch_size, 2),
        ("n_runs", n_runs, 1),
    ):
        if value is not None:
            _checks.check_positive_int(name, value, minimum=minimum)
    # A method that needs the number of clusters, or lets the dimensions be chosen, has them among its recipe's arguments.
    asked = {"n_clusters": n_clusters, "n_latent": n_latent}
    defaults = asdict(chosen.module)
    asked = {name: value for name, value in asked.items() if value is not None and name in defaults}
    module_kwargs = model_cls.check_module(model_kwargs, "model_kwargs")
    _checks.check_agreement("model_kwargs", module_kwargs, asked)
    module_kwargs |= model_cls.check_module(asked)
    _checks.check_n_clusters(module_kwargs.get("n_clusters"), adata.n_obs)
    _checks.check_arguments("train_kwargs", train_kwargs, model_cls.train_arguments())
    model_cls.check_training(accelerator=accelerator, devices=devices, **(train_kwargs or {}))
    written = keys.written(
        confidence=True,
        agreement=n_runs > 1,
        prediction=labels_key is not None,
        embedding=True,
        snapshots="snapshot_epochs" in (train_kwargs or {}),
    )
    inputs.check_key_added(adata, keys, written)
    _checks.check_rng(rng)
    folder = None if model_dir is None else _checks.check_model_dir(model_dir)
    mask = resolve_mask_var(adata, mask_var, n_top_genes, use_flagged=chosen.use_flagged_genes)
    counts = read_counts(adata, layer)
    check_counts(counts, adata, layer)

    # 2. prepare
    start = logg.info(f"training {model_cls.__name__} on {adata.n_obs} cells")
    data = prepare(
        counts,
        adata,
        layer=layer,
        mask_var=mask,
        n_top_genes=n_top_genes or chosen.n_top_genes,
        min_cells=chosen.min_cells,
    )
    working = data.adata
    registered = {"layer": layer, "size_factor_key": SIZE_FACTOR}
    if labels is not None:
        working.obs[LABELS] = labels
        registered |= {"labels_key": LABELS, "unlabeled_category": ""}
    trainer = {"accelerator": accelerator, "devices": devices, **(train_kwargs or {})}

    seeds = spawn_seeds(rng, 2 * n_runs + 1)  # two for each run, one for their consensus
    models: list[DeepClusteringModel] = []
    embeddings: list[NDArray[np.float32]] = []
    partitions: list[Partition] = []
    for train_seed, cluster_seed in zip(seeds[::2], seeds[1::2], strict=False):
        # 3. train, 4. embed
        with global_seed(train_seed), quiet():
            model_cls.setup_anndata(working, **registered)
            model = model_cls(working, recipe=recipe, **module_kwargs)
            model.preparation_ = data.preparation
            try:
                model.train(
                    max_epochs,
                    batch_size=batch_size,
                    **{"enable_progress_bar": sc.settings.verbosity > 0, **trainer},
                )
                embeddings.append(model.get_latent_representation())
                # 5. cluster
                partitions.append(model.partition(embeddings[-1], n_clusters, algorithm, cluster_seed, resolution))
            finally:
                # scvi-tools keeps what was set up, and with it the counts, for as long as the session lasts.
                model.deregister_manager(working)
        models.append(model)
    partition, kept = consensus_of_runs(partitions, embeddings, n_clusters, seeds[-1])
    partition = check_partition(partition, n_clusters)
    model, embedding = models[kept], embeddings[kept]
    # What was kept of the training is clustered as its end was.
    found = partitions[kept].n_clusters
    snapshots = {
        epoch: (moment, fit_partition(moment, found, algorithm, seeds[2 * kept + 1]).labels)
        for epoch, moment in model.snapshots.items()
    }
    # 6. write
    if copy:
        adata = _copied(adata)
    epochs = model.history["loss"].index  # a loss that begins in a later phase is NaN before
    history = {name: curve[name].reindex(epochs).to_numpy(dtype=float) for name, curve in model.history.items()}
    settings = {
        "method": model_cls.__name__,
        "recipe": recipe,
        "labels_key": labels_key,
        "unlabeled_category": unlabeled_category if labels_key is not None else None,
        "layer": layer,
        "mask_var": mask_var if isinstance(mask_var, str) else None,
        "n_top_genes": n_top_genes,
        "n_genes": working.n_vars,
        "max_epochs": len(history["loss"]),
        "stopped_early": len(history["loss"]) < model.trainer.max_epochs,
        "batch_size": batch_size or chosen.training.batch_size,
        "n_runs": n_runs,
        "rng": _recorded(rng),
        "model_dir": folder,
        "model_kwargs": {**defaults, **module_kwargs},
        "train_kwargs": train_kwargs,
    }
    record = {"params": settings, "history": history, "phases": model.phase_starts or None}
    write(adata, keys, embedding=embedding, partition=partition, record=record, snapshots=snapshots)
    added = [f"{keys.embedding!r}, embedding (adata.obsm)"]
    if snapshots:
        added.append(f"{keys.snapshot_embeddings!r}, {keys.snapshot_clusters!r}, the same after epochs (adata.obsm)")
    _log_finished(start, keys, partition, *added)
    if folder is not None:
        _save(model, folder, adata.uns[keys.uns], copy)
    return adata if copy else None


def _save(model: "DeepClusteringModel", folder: Path, record: dict[str, Any], copy: bool) -> None:
    """Save a model whole or not at all; the results are written by then, and stay.

    Where a copy is to be returned, which an error would lose, a failure is a warning.
    """
    from scx.model._core.session import quiet

    try:
        with TemporaryDirectory(prefix=".scx-", dir=folder.parent) as aside, quiet():
            model.save(f"{aside}/model")
            Path(aside, "model").rename(folder)
    except BaseException as error:
        del record["params"]["model_dir"]
        if not isinstance(error, Exception):
            raise
        msg = (
            f"The results are written, but the model could not be saved in {str(folder)!r}: {error} "
            "To have the model, run the same call again with another `model_dir`; the same `rng` gives the same model."
        )
        if not copy:
            raise OSError(msg) from error
        warnings.warn(msg, UserWarning, stacklevel=4)


def cluster_and_annotate(
    adata: AnnData,
    *,
    n_clusters: int | None,
    use_rep: str,
    method: str,
    resolution: float | None,
    key_added: str,
    rng: int | np.random.Generator,
    copy: bool,
) -> AnnData | None:
    """Check, cluster, write: the walk from an embedding on. Arguments are those of :func:`scx.tl.cluster`."""
    keys = Keys(key_added)
    _anndata.check_anndata(adata, min_vars=0)
    _anndata.check_storage(adata, None, copy=copy, counts=False)
    inputs.check_key_added(adata, keys, keys.written(confidence=True))
    _checks.check_n_clusters(n_clusters, adata.n_obs)
    _checks.check_choice("method", method, ALGORITHMS)
    resolution = check_option("resolution", resolution, Positive | None)
    _checks.check_resolution(resolution, n_clusters, "method", method)
    _checks.check_rng(rng)
    embedding = _anndata.check_embedding(adata, use_rep)
    start = logg.info(f"clustering {adata.n_obs} cells")
    partition = fit_partition(embedding, n_clusters, method, spawn_seeds(rng, 1)[0], resolution)
    settings = {"method": method, "use_rep": use_rep, "rng": _recorded(rng)}
    return _write_clusters(adata, keys, partition, n_clusters, settings, start, copy)


def agree_and_annotate(
    adata: AnnData,
    keys: Sequence[str],
    *,
    n_clusters: int | None,
    key_added: str,
    rng: int | np.random.Generator,
    copy: bool,
) -> AnnData | None:
    """Check, find the consensus, write. Arguments are those of :func:`scx.tl.consensus`."""
    own = Keys(key_added)
    _anndata.check_anndata(adata, min_vars=0)
    _anndata.check_storage(adata, None, copy=copy, counts=False)
    inputs.check_key_added(adata, own, own.written(agreement=True))
    _checks.check_n_clusters(n_clusters, adata.n_obs)
    _checks.check_rng(rng)
    keys = _checks.check_several("keys", keys)
    labellings = [_anndata.check_labels(adata, key) for key in keys]
    start = logg.info(f"finding the consensus of {len(keys)} clusterings of {adata.n_obs} cells")
    partition = consensus(labellings, n_clusters, *spawn_seeds(rng, 1))
    settings = {"method": "consensus", "keys": keys, "rng": _recorded(rng)}
    return _write_clusters(adata, own, partition, n_clusters, settings, start, copy)


def _write_clusters(
    adata: AnnData,
    keys: Keys,
    partition: Partition,
    n_clusters: int | None,
    settings: Mapping[str, Any],
    start: Any,
    copy: bool,
) -> AnnData | None:
    """Write clusters that come with no embedding of their own."""
    partition = check_partition(partition, n_clusters)
    if copy:
        adata = _copied(adata)
    write(adata, keys, partition=partition, record={"params": settings})
    _log_finished(start, keys, partition)
    return adata if copy else None


def _copied(adata: AnnData) -> AnnData:
    """Return a copy in memory."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _recorded(rng: int | np.random.Generator) -> int | None:
    """Return the seed, for ``uns``; a generator cannot be told."""
    return None if isinstance(rng, np.random.Generator) else int(rng)


def _log_finished(start: Any, keys: Keys, partition: Partition, *further: str) -> None:
    """Tell what was added, as scanpy does."""
    added = [f"{keys.clusters!r}, {partition.n_clusters} clusters (adata.obs)"]
    if partition.confidence is not None:
        added.append(f"{keys.confidence!r}, confidence of each cell's cluster (adata.obs)")
    if partition.prediction is not None:
        added.append(f"{keys.prediction!r}, known type that each cell is most likely of (adata.obs)")
        added.append(f"{keys.proba!r}, probability of each known type (adata.obsm)")
    if partition.agreement is not None:
        added.append(f"{keys.agreement!r}, agreement of the clusterings on each cell (adata.obs)")
    added += [*further, f"{keys.uns!r}, how it came about (adata.uns)"]
    logg.info("    finished", time=start, deep="\n    ".join(["added", *added]))
