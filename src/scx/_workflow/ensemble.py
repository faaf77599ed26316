"""Walk of an ensemble: embed the cells in several ways, cluster each, keep the best clustering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg
from scipy import sparse

from scx import _anndata, _checks
from scx._clustering.checks import check_partition
from scx._clustering.components import (
    Components,
    Expression,
    Place,
    alone_or_together,
    principal_components,
    side_by_side,
    views,
)
from scx._clustering.consensus import agreement
from scx._clustering.evidence import N_GENES as N_EVIDENCE_GENES
from scx._clustering.evidence import Evidence, evidence
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import NClusters, NumberOfClusters
from scx._clustering.outliers import fit_outliers
from scx._clustering.reference import Reference
from scx._clustering.separation_and_fit import find_n_clusters_with_counts
from scx._clustering.types import Partition
from scx._methods import METHODS, Method
from scx._parallel import in_parallel
from scx._rng import spawn_seeds
from scx._workflow.inputs import Request, check_fit, check_target, checked_counts
from scx._workflow.options import fit_options
from scx._workflow.prepare import VariableCounts, resolve_mask_var, shares_of_counts, variable_counts
from scx._workflow.save import save
from scx._workflow.train import embed_once, recorded_seed
from scx._workflow.walk import Result, working_data, write_result

if TYPE_CHECKING:
    from scx.model._core.ensemble import Ensemble
    from scx.model._core.preparation import Preparation

PCA = "pca"
"""Name of the members that are principal components."""
ALGORITHMS = ("kmeans", "leiden")
"""Algorithms that cluster each embedding."""
N_GENES = 3_000
"""Most variable genes of which members take some."""

DEFAULT_MEMBERS = {PCA: 5, "contrastive": 1}

type Embeddings = dict[str, NDArray[np.float32]]
"""Embeddings of the cells by name."""
type Fit = Components | dict[str, bytes] | None
"""What embeds new cells: components, or a model as the files that it is saved in."""


@dataclass(frozen=True)
class Member:
    """One way to embed the cells."""

    name: str
    kind: str
    embed: Callable[[], tuple[NDArray[np.float32], Fit]]


@dataclass(frozen=True)
class Embedded:
    """The cells in the embeddings of all members, by the names of these."""

    points: Embeddings
    places: dict[str, Place]
    fits: dict[str, Fit]
    joint: tuple[str, ...]
    """Members of the joint embedding."""
    clustered: dict[str, tuple[str, ...]]
    """Members of each embedding that is clustered, by its name."""


@dataclass(frozen=True)
class Labelling:
    """Clusters of an embedding."""

    embedding: str
    algorithm: str
    partition: Partition


def ensemble_and_annotate(
    adata: AnnData,
    n_clusters: NClusters,
    *,
    members: Mapping[str, int],
    layer: str | None,
    mask_var: Any,
    key_added: str,
    n_jobs: int | None,
    rng: int | np.random.Generator,
    accelerator: str,
    devices: Any,
    model_dir: str | Path | None,
    copy: bool,
) -> AnnData | None:
    """Walk of :func:`scx.tl.ensemble`, with the same arguments."""
    # 1. check
    members = check_members(members)
    target = check_target(adata, key_added, copy=copy, confidence=True, agreement=True, embedding=True)
    _anndata.check_anndata(adata)
    _anndata.check_layer(adata, layer)
    _anndata.check_storage(adata, layer, copy=copy)
    n_clusters = _checks.check_n_clusters(n_clusters, adata.n_obs)
    _checks.check_rng(rng)
    _checks.check_n_jobs(n_jobs)
    mask = resolve_mask_var(adata, mask_var, None, use_flagged=True)
    shared = {
        "layer": layer,
        "mask_var": mask_var,
        "key_added": key_added,
        "accelerator": accelerator,
        "devices": devices,
    }
    requests = {
        name: check_fit(
            METHODS[name], adata, n_clusters, fit_options(**shared, copy=copy, **network_alone(METHODS[name])), {}
        )
        for name in members
        if name != PCA
    }
    folder = None if model_dir is None else _checks.check_model_dir(model_dir)
    counts = checked_counts(adata, layer)
    variable = variable_counts(counts, mask, N_GENES)
    # 2. embed
    start = logg.info(f"embedding {adata.n_obs} cells by {sum(members.values())} members")
    view_seed, k_seed, cluster_seed, *member_seeds = spawn_seeds(rng, 3 + sum(members.values()))
    values, expression = Expression.fit(variable.counts, variable.size_factors)
    crew = crew_of(members, requests, values, view_seed, member_seeds, keep=folder is not None)
    embedded = embed_all(crew, n_jobs)
    joint = side_by_side(embedded.points, embedded.places, embedded.joint)
    # 3. cluster
    evidence_counts, size_factors = variable.counts[:, :N_EVIDENCE_GENES], variable.size_factors
    number = find_n_clusters_with_counts(n_clusters, joint, evidence_counts, size_factors, k_seed)
    labellings = cluster_all(embedded, number, cluster_seed, n_jobs)
    # 4. choose
    labels = [labelling.partition.labels for labelling in labellings]
    scores = evidence(evidence_counts, size_factors, labels)
    best = int(np.argmax(scores.score))
    partition = replace(labellings[best].partition, agreement=agreement(labels[best], labels, scores.score))
    partition = replace(partition, info={**partition.info, "n_clusters": number.info})
    partition = check_partition(partition, n_clusters)
    kept = None
    if folder is not None:
        preparation = preparation_of(adata, layer, counts, variable)
        reference = reference_of(partition, joint, values, cluster_seed)
        kept = ensemble_of(embedded, embedded.clustered[labellings[best].embedding], preparation, expression, reference)
    # 5. write
    settings = {
        "method": "ensemble",
        "members": members,
        "layer": layer,
        "mask_var": mask_var if isinstance(mask_var, str) else None,
        "rng": recorded_seed(rng),
        "model_dir": folder,
    }
    record = {"params": settings, **record_of(labellings, scores, best)}
    written = write_result(target, Result(partition, record, joint), start)
    if kept is not None and folder is not None:
        from scx.model._core import store

        save(partial(store.save, kept, overwrite=False), folder, written.uns[target.keys.uns], copy)
    return written if copy else None


def check_members(members: Mapping[str, int]) -> dict[str, int]:
    """Return the number of members of each kind; raise unless there is a known one."""
    _checks.check_arguments("members", members, (PCA, *METHODS))
    for name, number in members.items():
        _checks.check_positive_int(f"members[{name!r}]", number)
    if not members:
        msg = f"`members` must name at least one of {', '.join(map(repr, (PCA, *METHODS)))}, such as {{'pca': 5}}."
        raise ValueError(msg)
    return dict(members)


def network_alone(method: Method) -> dict[str, Any]:
    """Return the options that leave principal components out of the embedding: they are members."""
    names = [field.name for field in fields(method.model_cls.recipes["default"].module)]
    return {"model_kwargs": {"n_components": 0}} if "n_components" in names else {}


def crew_of(
    members: Mapping[str, int],
    requests: Mapping[str, Request],
    expression: sparse.csr_matrix,
    view_seed: int,
    seeds: list[int],
    *,
    keep: bool,
) -> list[Member]:
    """Return the members, those of one kind numbered from the second on.

    With `keep`, those that are trained return their models.
    """
    kinds = [kind for kind, number in members.items() for _ in range(number)]
    data = {name: working_data(request) for name, request in requests.items()}
    next_view = views(np.random.default_rng(view_seed))
    crew = []
    for i, (kind, seed) in enumerate(zip(kinds, seeds, strict=True)):
        embed: Callable[[], tuple[NDArray[np.float32], Fit]]
        if kind == PCA:
            embed = partial(principal_components, next(next_view), expression, seed)
        else:
            embed = partial(embed_once, requests[kind].without_data(), data[kind], seed, keep=keep)
        number = kinds[: i + 1].count(kind)
        crew.append(Member(kind if number == 1 else f"{kind} {number}", kind, embed))
    return crew


def embed_all(crew: list[Member], n_jobs: int | None) -> Embedded:
    """Embed the cells by all members."""
    found = dict(
        zip([member.name for member in crew], in_parallel([member.embed for member in crew], n_jobs), strict=True)
    )
    points = {name: embedding for name, (embedding, _) in found.items()}
    first = (PCA,) if PCA in found else ()
    trained = tuple(member.name for member in crew if member.kind != PCA)
    clustered: dict[str, tuple[str, ...]] = {name: (name,) for name in found}
    if first:
        clustered |= {f"{name} + {PCA}": (*first, name) for name in trained}
    return Embedded(
        points,
        {name: Place.fit(embedding) for name, embedding in points.items()},
        {name: fit for name, (_, fit) in found.items()},
        (*first, *trained),
        clustered,
    )


def cluster_all(embedded: Embedded, number: NumberOfClusters, seed: int, n_jobs: int | None) -> list[Labelling]:
    """Cluster each embedding by each algorithm."""
    embeddings = {
        name: alone_or_together(embedded.points, embedded.places, members)
        for name, members in embedded.clustered.items()
    }
    pairs = [(name, algorithm) for name in embeddings for algorithm in ALGORITHMS]
    tasks = [partial(fit_partition, embeddings[name], number.chosen, algorithm, seed) for name, algorithm in pairs]
    partitions = in_parallel(tasks, n_jobs)
    return [Labelling(*pair, partition) for pair, partition in zip(pairs, partitions, strict=True)]


def record_of(labellings: list[Labelling], scores: Evidence, best: int) -> dict[str, Any]:
    """Return all labellings with their scores, and why the result is what it is."""
    chosen = labellings[best]
    reason = (
        f"{chosen.algorithm} on {chosen.embedding} has the highest score of {len(labellings)} clusterings, {scores.score[best]:.2f}: the mean "
        "adjusted Rand index with all of them, weighted by the rank of their fit to the counts. It explains "
        f"{scores.deviance_explained[best]:.1%} of the deviance of the counts; the best of all explains "
        f"{scores.deviance_explained.max():.1%}"
    )
    table = {
        "embedding": [labelling.embedding for labelling in labellings],
        "algorithm": [labelling.algorithm for labelling in labellings],
        "n_clusters": np.array([labelling.partition.n_clusters for labelling in labellings]),
        "deviance_explained": scores.deviance_explained,
        "agreement": scores.agreement,
        "score": scores.score,
    }
    return {"chosen": best, "reason": reason, "clusterings": table}


def preparation_of(
    adata: AnnData, layer: str | None, counts: sparse.csr_matrix, variable: VariableCounts
) -> "Preparation":
    """Return what reads the genes of the ensemble from any AnnData."""
    from scx.model._core.preparation import Preparation

    names, counted = np.asarray(adata.var_names), variable.is_counted
    return Preparation(names[variable.genes], layer, None, names[counted], shares_of_counts(counts, counted))


def reference_of(
    partition: Partition, joint: NDArray[np.float32], expression: sparse.csr_matrix, seed: int
) -> Reference:
    """Return what new cells are compared with."""
    assert partition.clusters is not None
    return Reference(partition.clusters, fit_outliers(joint, lambda rows: expression[rows].toarray(), seed))


def ensemble_of(
    embedded: Embedded,
    clustered: tuple[str, ...],
    preparation: "Preparation",
    expression: Expression,
    reference: Reference,
) -> "Ensemble":
    """Return the members behind the joint embedding and behind the clusters that were kept."""
    from scx.model._core.ensemble import Ensemble
    from scx.model._core.model import DeepClusteringModel
    from scx.model._core.store import from_files

    names = dict.fromkeys((*embedded.joint, *clustered))
    members: dict[str, Components | DeepClusteringModel] = {}
    for name in names:
        fit = embedded.fits[name]
        member = from_files(fit) if isinstance(fit, dict) else fit
        assert isinstance(member, Components | DeepClusteringModel)
        members[name] = member
    places = {name: embedded.places[name] for name in names}
    return Ensemble(preparation, expression, members, places, embedded.joint, clustered, reference)
