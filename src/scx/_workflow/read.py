"""What plots read from a user's AnnData: results that scx wrote, and columns of ``obs``.

Plots know none of the names under which scx stores results; they ask here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scx import _anndata, _checks
from scx._methods import METHODS
from scx._workflow.keys import Keys

DICTS = ("params", "history", "phases", "n_clusters", "calibration")
"""Entries of a record that are dicts."""
WITHOUT_MODEL = {
    "cluster": "scx.tl.cluster(adata, use_rep)",
    "consensus": "scx.tl.consensus(adata, keys)",
    "ensemble": "scx.tl.ensemble(adata)",
}
"""Calls that cluster without a model, by the name under which they write."""


@dataclass(frozen=True)
class History:
    """How a training went."""

    losses: Mapping[str, NDArray[np.float64]]
    """Each loss by epoch. Losses that start late are shorter; all end at the last epoch."""
    phases: Mapping[str, int]
    """First epoch of each phase, counted from 1; empty if there are no phases."""
    stopped_early: bool
    """Whether training ended before the maximum number of epochs."""

    @property
    def n_epochs(self) -> int:
        """Number of epochs."""
        return max(len(values) for values in self.losses.values())


@dataclass(frozen=True)
class NClustersCurves:
    """How the number of clusters was chosen: scores of the numbers tried, shape (n_tried,)."""

    chosen: int
    tried: NDArray[np.int64]
    curves: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Calibration:
    """How often predictions are right at each level of confidence; arrays of shape (n_bins,)."""

    confidence: NDArray[np.float64]
    """Mean confidence of the cells of a bin."""
    accuracy: NDArray[np.float64]
    """Share of correct predictions in a bin."""
    n_cells: NDArray[np.float64]
    ece: float
    """Expected calibration error."""


@dataclass(frozen=True)
class Snapshots:
    """Embeddings and clusters after some epochs of training."""

    epochs: list[int]
    """0 is the state before training."""
    clusters: NDArray[np.integer]
    """Cluster of each cell, shape (n_cells, n_epochs)."""
    embeddings: NDArray[np.floating]
    """Shape (n_cells, n_epochs, n_latent)."""


def method_call(key: str, *arguments: str, obs_field: str | None = None) -> str:
    """Return the call that computes what is written under `key`, for messages.

    Parameters
    ----------
    key
        Name under which the call writes; unless it names a function, the call has a `key_added`.
    *arguments
        Further arguments of the call, as code.
    obs_field
        Only methods that read this field of ``obs`` are named; None for all methods.
    """
    names = [name for name, method in METHODS.items() if obs_field is None or obs_field in method.obs_fields]
    if key in WITHOUT_MODEL:
        return f"`{WITHOUT_MODEL[key]}`"
    if key in names:
        return f"`scx.tl.{key}({', '.join(['adata', *arguments])})`"
    call = ", ".join(["adata", *arguments, f"key_added={key!r}"])
    if len(names) == 1:
        return f"`scx.tl.{names[0]}({call})`"
    return f"`scx.tl.<method>({call})`, where <method> is {', '.join(names[:-1])} or {names[-1]}"


def read_obs(adata: AnnData) -> pd.DataFrame:
    """Return ``adata.obs``; raise unless it is in memory."""
    obs = adata.obs
    _anndata.check_in_memory("obs", obs)
    return cast("pd.DataFrame", obs)


# ----- records of runs


def _records(adata: AnnData) -> dict[str, Mapping[str, Any]]:
    """Return the records in ``uns`` that scx wrote, by their key."""
    return {key: entry for key, entry in adata.uns.items() if isinstance(entry, Mapping) and "scx_version" in entry}


def read_record(adata: AnnData, key: str, *entries: str) -> Mapping[str, Any]:
    """Return the record of scx under `key`; raise unless it is there and has the `entries`."""
    records = _records(adata)
    name = Keys(key).uns
    if name not in records:
        msg = (
            f"There is no result of scx under `key={key!r}`. Compute it with {method_call(key)}. "
            f"`adata` holds results under {', '.join(map(repr, records)) or 'no key'}."
        )
        raise ValueError(msg)
    record = records[name]
    for entry in DICTS:
        if entry in record and not isinstance(record[entry], Mapping):
            msg = (
                f"`key={key!r}`: `adata.uns[{name!r}][{entry!r}]` is not a dict: it was changed after scx wrote it. "
                f"Run {method_call(key)} again."
            )
            raise ValueError(msg)
    for entry in entries:
        if not record.get(entry):
            msg = f"`key={key!r}`: `adata.uns[{name!r}]` has no {entry!r}. Compute it with {method_call(key)}."
            raise ValueError(msg)
    return record


def _read_curve(key: str, path: Sequence[str], values: object) -> NDArray[np.float64]:
    """Return `values` of a record as an array; raise unless they are numbers in one dimension."""
    where = f"uns[{key!r}]" + "".join(f"[{name!r}]" for name in path)
    _checks.check_curve(where, values)
    return np.asarray(values, dtype=float)


def read_history(adata: AnnData, key: str) -> History:
    """Return the history of the training under `key`; raise unless there is one."""
    record = read_record(adata, key, "history")
    return History(
        losses={name: _read_curve(key, ["history", name], values) for name, values in record["history"].items()},
        phases={str(name): int(start) for name, start in record.get("phases", {}).items()},
        stopped_early=bool(record.get("params", {}).get("stopped_early")),
    )


def read_n_clusters(adata: AnnData, key: str) -> NClustersCurves:
    """Return how the number of clusters under `key` was chosen; raise if it was passed instead."""
    number = read_record(adata, key, "n_clusters")["n_clusters"]
    if "tried" not in number:
        embedding = Keys(key).embedding
        use_rep = embedding if embedding in adata.obsm else "X_pca"
        msg = (
            f"The number of clusters under `key={key!r}` was not chosen ({number.get('reason')}), so there is no curve. "
            "Omit `n_clusters`, or choose the number on the embedding: "
            f"`scx.tl.cluster(adata, use_rep={use_rep!r}, key_added={f'{key}_chosen'!r})`."
        )
        raise ValueError(msg)
    names = ("score", "stability", "separation") if "score" in number else ("separation", "deviance_explained")
    tried, *curves = (_read_curve(key, ["n_clusters", name], number.get(name)) for name in ("tried", *names))
    return NClustersCurves(int(number["chosen"]), tried.astype(np.int64), dict(zip(names, curves, strict=True)))


def read_clusterings(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the scores of the clusterings of an ensemble, by name; raise unless there are some."""
    table = _records(adata).get(key, {}).get("clusterings")
    if not isinstance(table, Mapping):
        msg = (
            f"There is no ensemble under `keys={key!r}`. Compute it with `scx.tl.ensemble(adata, key_added={key!r})`, "
            f"or list columns of `adata.obs` with clusters, such as {[key]!r}."
        )
        raise ValueError(msg)
    names = [f"{how} on {what}" for how, what in zip(table["algorithm"], table["embedding"], strict=True)]
    columns = ("score", "agreement", "deviance_explained")
    return pd.DataFrame({name: _read_curve(key, ["clusterings", name], table.get(name)) for name in columns}, names)


def read_calibration(adata: AnnData, key: str) -> Calibration:
    """Return the calibration on held-out labelled cells; raise unless the method measured one."""
    record = read_record(adata, key)
    if "calibration" not in record:
        msg = (
            f"`key={key!r}`: `adata.uns[{key!r}]` has no 'calibration': the method did not hold out labelled cells. "
            "Pass the true labels as `labels_key`, to compare them with the predictions in `obs`."
        )
        raise ValueError(msg)
    bins = record["calibration"]
    curves = {
        name: _read_curve(key, ["calibration", name], np.atleast_1d(bins.get(name)))
        for name in ("confidence", "accuracy", "n_cells", "ece")
    }
    return Calibration(ece=float(curves.pop("ece")[0]), **curves)


def read_snapshots(adata: AnnData, key: str) -> Snapshots:
    """Return the snapshots under `key`; raise unless they are there and their shapes agree."""
    record, keys = read_record(adata, key), Keys(key)
    names = (keys.snapshot_clusters, keys.snapshot_embeddings)
    if "snapshots" not in record or not all(name in adata.obsm for name in names):
        call = method_call(key, 'train_kwargs={"snapshot_epochs": [0, 5, 20]}')
        msg = f"There are no snapshots of the training under `key={key!r}`. Keep them with {call}."
        raise ValueError(msg)
    epochs = [int(epoch) for epoch in _read_curve(key, ["snapshots"], record["snapshots"])]
    clusters, embeddings = (np.asarray(adata.obsm[name]) for name in names)
    for name, values, kinds, last_dim in (
        (keys.snapshot_clusters, clusters, "iu", ""),
        (keys.snapshot_embeddings, embeddings, "f", " × dimensions"),
    ):
        has_shape = values.ndim == 2 + bool(last_dim) and values.shape[1] == len(epochs) and values.size > 0
        if not has_shape or values.dtype.kind not in kinds or not np.isfinite(values).all():
            msg = (
                f"`adata.obsm[{name!r}]` must hold finite numbers, cells × {len(epochs)} epochs{last_dim}, as listed in "
                f"`adata.uns[{key!r}]['snapshots']`; got shape {values.shape} of {values.dtype}. "
                "It was changed after scx wrote it: run the method behind `key` again."
            )
            raise ValueError(msg)
    return Snapshots(epochs=epochs, clusters=clusters, embeddings=embeddings)


# ----- embeddings


def read_embedding(adata: AnnData, key: str) -> NDArray[np.floating]:
    """Return the embedding under `key`; raise unless there is one."""
    name = Keys(key).embedding
    if name not in adata.obsm:
        msg = f"`key={key!r}`: there is no embedding `adata.obsm[{name!r}]`. Compute it with {method_call(key)}."
        raise ValueError(msg)
    return _anndata.check_representation(adata, "key", name)


def read_runs(adata: AnnData, use_reps: Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    """Return the embeddings of each method, names in ``obsm``; raise unless all can be used."""
    runs = {method: [reps] if isinstance(reps, str) else list(reps) for method, reps in use_reps.items()}
    for method, reps in runs.items():
        if not reps:
            msg = f"`use_reps` has no embedding under {method!r}. Name at least one, or remove the entry."
            raise ValueError(msg)
        for rep in reps:
            _anndata.check_representation(adata, "use_reps", rep)
    return runs


def umap_name(use_rep: str) -> str:
    """Return the name in ``obsm`` of the UMAP of an embedding."""
    return f"X_umap_{use_rep.removeprefix('X_')}"


def find_stored_layout(adata: AnnData, use_rep: str) -> str | None:
    """Return the name in ``obsm`` of a two-dimensional layout of an embedding, None without one."""
    array = adata.obsm.get(use_rep)
    if array is not None and array.ndim == 2 and array.shape[1] == 2:
        return use_rep
    own = umap_name(use_rep)
    if own in adata.obsm:
        return own
    neighbors = adata.uns.get("neighbors")
    params = neighbors.get("params") if isinstance(neighbors, Mapping) else None
    neighbors_of = params.get("use_rep") if isinstance(params, Mapping) else None
    return "X_umap" if "X_umap" in adata.obsm and neighbors_of == use_rep else None


# ----- columns of obs


def read_clusters(adata: AnnData, key: str) -> pd.Series:
    """Return the clusters under `key` as categories in use; raise unless they are there."""
    if Keys(key).clusters not in adata.obs:
        msg = f"`key={key!r}`: there are no clusters `adata.obs[{key!r}]`. Compute them with {method_call(key)}."
        raise ValueError(msg)
    return _read_categories(adata, "key", Keys(key).clusters)


def read_labels(adata: AnnData, labels_key: str) -> pd.Series:
    """Return a column of labels as categories that are in use; raise unless it is there."""
    if labels_key not in adata.obs:
        msg = (
            f"There are no labels `adata.obs[{labels_key!r}]`. Pass as `labels_key` one of "
            f"{', '.join(map(repr, adata.obs.columns))}, or add the column."
        )
        raise ValueError(msg)
    return _read_categories(adata, "labels_key", labels_key)


def read_batches(adata: AnnData, batch_key: str) -> pd.Series:
    """Return a column of batches as categories that are in use; raise unless it is there."""
    return _read_categories(adata, "batch_key", batch_key)


def _read_categories(adata: AnnData, parameter: str, name: str) -> pd.Series:
    """Return a column, passed as `parameter`, as categories; raise unless some cell has a value."""
    column = _anndata.check_column(adata, parameter, name)
    if column.isna().all():
        msg = f"No cell has a value in `adata.obs[{name!r}]`. Pass another column as `{parameter}`."
        raise ValueError(msg)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    return column.cat.remove_unused_categories()


def read_confidence(adata: AnnData, key: str) -> NDArray[np.float64]:
    """Return the confidence of each cell, NaN where it has none; raise unless it is there."""
    name = Keys(key).confidence
    if name not in adata.obs:
        msg = f"`key={key!r}`: there is no confidence `adata.obs[{name!r}]`. Compute it with {method_call(key)}."
        raise ValueError(msg)
    return _anndata.check_share(adata, "key", name)


def read_predictions(adata: AnnData, key: str) -> tuple[pd.Series, NDArray[np.float64]]:
    """Return the predicted label of each cell and its confidence; raise unless both are there."""
    keys = Keys(key)
    for name in (keys.prediction, keys.confidence):
        if name not in adata.obs:
            msg = (
                f"`key={key!r}`: there is no `adata.obs[{name!r}]`. Predictions come from a method that learns from "
                f"labels: {method_call(key, 'labels_key=...', obs_field='labels')}."
            )
            raise ValueError(msg)
    confidence = _anndata.check_share(adata, "key", keys.confidence)
    return read_obs(adata)[keys.prediction].astype(object), confidence


def unlabeled_categories(adata: AnnData, labels_key: str) -> set[str]:
    """Return the categories of a column of labels that a method of scx treated as unlabelled."""
    params = [record["params"] for record in _records(adata).values() if isinstance(record.get("params"), Mapping)]
    return {str(each["unlabeled_category"]) for each in params if each.get("labels_key") == labels_key}


def as_categories(values: pd.Series) -> pd.Series:
    """Return values of ``obs`` as categories, in the order of scanpy's palettes."""
    adata = AnnData(obs=pd.DataFrame({"values": values}))
    adata.strings_to_categoricals()
    return read_obs(adata)["values"].astype("category")
