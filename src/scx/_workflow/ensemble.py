"""Walk of an ensemble: embed the cells in several ways, cluster each, keep the best clustering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg
from scipy import sparse

from scx import _anndata, _checks
from scx._clustering.checks import check_partition
from scx._clustering.consensus import agreement
from scx._clustering.evidence import N_GENES as N_EVIDENCE_GENES
from scx._clustering.evidence import Evidence, evidence
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import NClusters, NumberOfClusters
from scx._clustering.separation_and_fit import find_n_clusters_with_counts
from scx._clustering.types import Partition
from scx._methods import METHODS
from scx._parallel import in_parallel
from scx._rng import spawn_seeds
from scx._workflow.components import principal_components, side_by_side, views
from scx._workflow.inputs import Request, check_fit, check_target, checked_counts
from scx._workflow.options import fit_options
from scx._workflow.prepare import resolve_mask_var, variable_counts
from scx._workflow.train import embed_once, recorded_seed
from scx._workflow.walk import Result, working_data, write_result

PCA = "pca"
"""Name of the members that are principal components."""
ALGORITHMS = ("kmeans", "leiden")
"""Algorithms that cluster each embedding."""
N_GENES = 3_000
"""Most variable genes of which members take some."""

DEFAULT_MEMBERS = {PCA: 5, "contrastive": 1}

type Embeddings = dict[str, NDArray[np.float32]]
"""Embeddings of the cells by name."""


@dataclass(frozen=True)
class Member:
    """One way to embed the cells."""

    name: str
    kind: str
    embed: Callable[[], NDArray[np.float32]]


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
    options = fit_options(
        layer=layer, mask_var=mask_var, key_added=key_added, accelerator=accelerator, devices=devices, copy=copy
    )
    requests = {name: check_fit(METHODS[name], adata, n_clusters, options, {}) for name in members if name != PCA}
    counts, size_factors = variable_counts(checked_counts(adata, layer), mask, N_GENES)
    # 2. embed
    start = logg.info(f"embedding {adata.n_obs} cells by {sum(members.values())} members")
    view_seed, k_seed, cluster_seed, *member_seeds = spawn_seeds(rng, 3 + sum(members.values()))
    crew = crew_of(members, requests, counts, size_factors, view_seed, member_seeds)
    embedded = in_parallel([member.embed for member in crew], n_jobs)
    found = {member.name: embedding for member, embedding in zip(crew, embedded, strict=True)}
    first = [found[PCA]] if PCA in found else []
    trained = {member.name: found[member.name] for member in crew if member.kind != PCA}
    joint = side_by_side([*first, *trained.values()])
    if first:
        found |= {f"{name} + {PCA}": side_by_side([*first, embedding]) for name, embedding in trained.items()}
    # 3. cluster
    number = find_n_clusters_with_counts(n_clusters, joint, counts[:, :N_EVIDENCE_GENES], size_factors, k_seed)
    labellings = cluster_all(found, number, cluster_seed, n_jobs)
    # 4. choose
    labels = [labelling.partition.labels for labelling in labellings]
    scores = evidence(counts[:, :N_EVIDENCE_GENES], size_factors, labels)
    best = int(np.argmax(scores.score))
    partition = replace(labellings[best].partition, agreement=agreement(labels[best], labels, scores.score))
    partition = replace(partition, info={**partition.info, "n_clusters": number.info})
    partition = check_partition(partition, n_clusters)
    # 5. write
    settings = {
        "method": "ensemble",
        "members": members,
        "layer": layer,
        "mask_var": mask_var if isinstance(mask_var, str) else None,
        "rng": recorded_seed(rng),
    }
    record = {"params": settings, **record_of(labellings, scores, best)}
    written = write_result(target, Result(partition, record, joint), start)
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


def crew_of(
    members: Mapping[str, int],
    requests: Mapping[str, Request],
    counts: sparse.csr_matrix,
    size_factors: NDArray[np.float64],
    view_seed: int,
    seeds: list[int],
) -> list[Member]:
    """Return the members, those of one kind numbered from the second on."""
    kinds = [kind for kind, number in members.items() for _ in range(number)]
    data = {name: working_data(request) for name, request in requests.items()}
    next_view = views(np.random.default_rng(view_seed))
    crew = []
    for i, (kind, seed) in enumerate(zip(kinds, seeds, strict=True)):
        if kind == PCA:
            embed = partial(principal_components, next(next_view), counts, size_factors, seed)
        else:
            embed = partial(embed_once, requests[kind].without_data(), data[kind], seed)
        number = kinds[: i + 1].count(kind)
        crew.append(Member(kind if number == 1 else f"{kind} {number}", kind, embed))
    return crew


def cluster_all(embeddings: Embeddings, number: NumberOfClusters, seed: int, n_jobs: int | None) -> list[Labelling]:
    """Cluster each embedding by each algorithm."""
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
