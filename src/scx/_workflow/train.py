"""Steps 3 to 5: train a model under a seed, embed the cells, cluster the embedding."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from numpy.typing import NDArray

from scx._clustering.consensus import consensus_of_runs
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import NClusters
from scx._clustering.types import Partition
from scx._rng import global_seed
from scx._workflow.inputs import Request
from scx._workflow.keys import SIZE_FACTOR
from scx._workflow.prepare import WorkingData

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel

type Snapshots = Mapping[int, tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Embedding and cluster of each cell, by epoch."""


@dataclass(frozen=True)
class Run:
    """A trained model with its embedding and clusters, and the features these were found in."""

    model: "DeepClusteringModel"
    embedding: NDArray[np.float32]
    features: NDArray[np.float32]
    partition: Partition
    cluster_seed: int


def run_once(request: Request, data: WorkingData, train_seed: int, cluster_seed: int) -> Run:
    """Train, embed and cluster."""
    with trained(request, data, train_seed) as model:
        embedding = model.get_latent_representation()
        partition = model.partition(embedding, request.n_clusters, request.algorithm, cluster_seed, request.resolution)
        features = model.features(embedding)
    return Run(model, embedding, features, partition, cluster_seed)


def embed_once(
    request: Request, data: WorkingData, seed: int, *, keep: bool
) -> tuple[NDArray[np.float32], dict[str, bytes] | None]:
    """Train and embed. With `keep`, return the model as well, as the files that it is saved in."""
    from scx.model._core.store import as_files

    with trained(request, data, seed) as model:
        return model.get_latent_representation(), as_files(model) if keep else None


@contextmanager
def trained(request: Request, data: WorkingData, seed: int) -> "Iterator[DeepClusteringModel]":
    """Train a model and give access to it, with all global generators seeded."""
    from scx.model._core.session import quiet

    options = request.options
    training = {"accelerator": options["accelerator"], "devices": options["devices"], **(options["train_kwargs"] or {})}
    working = data.adata
    setup = {"layer": options["layer"], "size_factor_key": SIZE_FACTOR, "batch_key": options["batch_key"]}
    for field in request.obs_fields:
        setup |= field.setup
    with global_seed(seed), quiet():
        request.model_cls.setup_anndata(working, **setup)
        model = request.model_cls(working, recipe=options["recipe"], **request.module_kwargs)
        model.preparation_ = data.preparation
        try:
            model.train(
                options["max_epochs"],
                batch_size=options["batch_size"],
                **{"enable_progress_bar": sc.settings.verbosity > 0, **training},
            )
            yield model
        finally:
            # Otherwise scvi-tools keeps the working AnnData, and thus the counts, until the session
            # ends.
            model.deregister_manager(working)


def combine(runs: list[Run], n_clusters: NClusters, seed: int) -> tuple[Partition, Run]:
    """Return the consensus of the runs, and the run that agrees most with it."""
    partitions, features = [run.partition for run in runs], [run.features for run in runs]
    partition, kept = consensus_of_runs(partitions, features, n_clusters, seed)
    return partition, runs[kept]


def cluster_snapshots(run: Run, algorithm: str) -> Snapshots:
    """Cluster the embeddings kept during training, with the k and the seed of the run."""
    k = run.partition.n_clusters
    return {
        epoch: (embedding, fit_partition(embedding, k, algorithm, run.cluster_seed).labels)
        for epoch, embedding in run.model.snapshots.items()
    }


def record_of(request: Request, run: Run, n_genes: int) -> dict[str, Any]:
    """Return the run record for ``uns``: settings, history and phases."""
    options, recipe, model = request.options, request.recipe, run.model
    epochs = model.history["loss"].index  # a loss of a later phase is NaN before
    history = {name: curve[name].reindex(epochs).to_numpy(dtype=float) for name, curve in model.history.items()}
    settings: dict[str, Any] = {"method": request.model_cls.__name__, "recipe": options["recipe"]}
    for field in request.obs_fields:
        settings |= field.arguments
    settings |= {
        "layer": options["layer"],
        "batch_key": options["batch_key"],
        "mask_var": options["mask_var"] if isinstance(options["mask_var"], str) else None,
        "n_top_genes": options["n_top_genes"],
        "n_genes": n_genes,
        "max_epochs": len(history["loss"]),
        "stopped_early": len(history["loss"]) < model.trainer.max_epochs,
        "batch_size": options["batch_size"] or recipe.training.batch_size,
        "n_runs": options["n_runs"],
        "rng": recorded_seed(options["rng"]),
        "model_dir": request.model_dir,
        "model_kwargs": {**asdict(recipe.module), **request.module_kwargs},
        "train_kwargs": options["train_kwargs"],
    }
    return {"params": settings, "history": history, "phases": model.phase_starts or None}


def recorded_seed(rng: int | np.random.Generator) -> int | None:
    """Return the seed for ``uns``; None for a generator."""
    return None if isinstance(rng, np.random.Generator) else int(rng)
