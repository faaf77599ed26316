"""The walk of a call that explains groups of cells by genes: check, survey, attribute, write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scanpy import logging as logg
from scipy import sparse

from scx import _anndata, _checks
from scx._rng import exclusively, spawn_seeds
from scx._workflow.inputs import Target, check_key_added, check_model, checked_counts
from scx._workflow.keys import Keys
from scx._workflow.train import recorded_seed
from scx._workflow.write import categorical, write_fields

if TYPE_CHECKING:
    from scx.model._core.attributions import Groups, Survey
    from scx.model._core.model import DeepClusteringModel
    from scx.model._core.source import CellSource

MAX_STEPS = 1000
"""Largest number of steps of an integral."""
MAX_ERROR = 0.05
"""Convergence error, as a share of what is explained, above which there is a warning."""
SMALL_MEAN = 1e-9
"""What scanpy adds to means before it divides them."""


@dataclass(frozen=True)
class Question:
    """A checked call of :func:`scx.tl.attributions`."""

    target: Target
    model: "DeepClusteringModel"
    cells: "CellSource"
    groups: "Groups"
    asked: list[str]
    """Names of the groups to rank genes for."""
    settings: dict[str, Any]
    """Arguments, for the run record."""


@dataclass(frozen=True)
class Answer:
    """Scores of genes, for groups that have cells."""

    numbers: list[int]
    """Number of each group."""
    n_explained: NDArray[np.int64]
    """Number of cells that the scores of each group are means of, shape (n_groups,)."""
    scores: NDArray[np.float64]
    """Shape (n_groups, n_genes)."""
    error: NDArray[np.float64]
    """Convergence error of each group, see :data:`MAX_ERROR`, shape (n_groups,)."""
    per_cell: sparse.csr_matrix | None
    """Attributions of all cells, shape (n_cells, n_vars)."""


@exclusively
def attribute_and_annotate(
    adata: AnnData,
    model: object,
    groups: Sequence[str] | None,
    *,
    n_cells: int,
    n_steps: int,
    per_cell: bool,
    key_added: str,
    rng: int | np.random.Generator,
    copy: bool,
) -> AnnData | None:
    """Walk of :func:`scx.tl.attributions`, with the same arguments."""
    from scx.model._core.attributions import survey

    settings = {"n_cells": n_cells, "n_steps": n_steps, "per_cell": per_cell, "rng": recorded_seed(rng)}
    question = check_question(adata, model, groups, settings, key_added, rng, copy=copy)
    start = logg.info(f"attributing groups of {adata.n_obs} cells to {question.cells.n_vars} genes")
    found = survey(question.model.module, question.groups, question.cells)
    answer = attribute(question, found, np.random.default_rng(spawn_seeds(rng, 1)[0]))
    warn_of_error(question, answer)
    written = write_answer(question, found, answer)
    keys = question.target.keys
    added = [
        f"{keys.uns!r}, genes of each group in the layout of `sc.tl.rank_genes_groups` (adata.uns)",
        f"{keys.group!r}, group of each cell (adata.obs)",
        *([f"{keys.attributions!r}, attributions of each cell (adata.layers)"] if per_cell else []),
    ]
    logg.info("    finished", time=start, deep="\n    ".join(["added", *added]))
    return written if copy else None


def check_question(
    adata: AnnData,
    model: object,
    groups: Sequence[str] | None,
    settings: Mapping[str, Any],
    key_added: str,
    rng: int | np.random.Generator,
    *,
    copy: bool,
) -> Question:
    """Return the checked call; raise if the model cannot be explained, or not by these cells."""
    from scx.model._core.ensemble import Ensemble

    _checks.check_package("captum", "explain")
    checked, model_dir = check_model(model, "be explained")
    if isinstance(checked, Ensemble):
        msg = (
            "`model` is an ensemble, whose clusters are not those of one network. Pass the `model_dir` of a method; "
            'with `scx.tl.semiaae(adata, labels_key="ensemble")`, it is a network of the same clusters.'
        )
        raise ValueError(msg)
    explained = checked.explained_groups()
    asked = list(explained.names if groups is None else groups)
    _anndata.check_not_empty("groups", asked)
    for name in asked:
        _checks.check_choice("groups", name, explained.names)
    _checks.check_positive_int("n_cells", settings["n_cells"])
    _checks.check_positive_int("n_steps", settings["n_steps"], maximum=MAX_STEPS)
    _checks.check_rng(rng)
    keys, layer = Keys(key_added), checked.preparation_.layer
    _anndata.check_anndata(adata, min_obs=1, min_vars=1)
    _anndata.check_layer(adata, layer)
    _anndata.check_storage(adata, layer, copy=copy)
    check_key_added(adata, keys, keys.written_by_attributions(per_cell=settings["per_cell"]))
    cells = checked.source(adata)
    if cells.are_counts:
        checked_counts(adata, layer)
    known = {
        "groupby": keys.group,
        "reference": "rest",
        "method": "integrated_gradients",
        "use_raw": False,
        "layer": layer,
        "model": type(checked).__name__,
        "model_dir": model_dir,
        "groups": None if groups is None else asked,
    }
    return Question(Target(adata, keys, copy), checked, cells, explained, asked, {**known, **settings})


def attribute(question: Question, found: "Survey", rng: np.random.Generator) -> Answer:
    """Return scores of genes; raise if no cell is in a group that was asked for."""
    from scx.model._core.attributions import explain

    names, settings, cells = question.groups.names, question.settings, question.cells
    empty = [name for name in question.asked if not found.n_cells[names.index(name)]]
    if empty and settings.get("groups") is not None:
        msg = f"`groups`: no cell of `adata` is in {', '.join(map(repr, empty))}. Leave them out, or pass other cells."
        raise ValueError(msg)
    numbers = [i for i, name in enumerate(names) if name in question.asked and name not in empty]
    is_drawn = np.zeros(cells.n_obs, dtype=bool)
    for number in numbers:
        own = np.flatnonzero(found.labels == number)
        is_drawn[rng.permutation(own)[: settings["n_cells"]]] = True
    rows = np.arange(cells.n_obs) if settings["per_cell"] else np.flatnonzero(is_drawn)
    every = np.zeros((cells.n_obs, cells.n_vars), dtype=np.float32) if settings["per_cell"] else None
    scores, moved, missed = np.zeros((len(names), cells.n_vars)), np.zeros(len(names)), np.zeros(len(names))
    for batch_rows, explained in explain(
        question.model.module, question.groups, cells, rows, found.labels, settings["n_steps"]
    ):
        if every is not None:
            every[batch_rows] = explained.values
        drawn = is_drawn[batch_rows]
        own = found.labels[batch_rows[drawn]]
        np.add.at(scores, own, explained.values[drawn])
        np.add.at(moved, own, np.abs(explained.difference[drawn]))
        np.add.at(missed, own, np.abs(explained.error[drawn]))
    n_explained = np.bincount(found.labels[is_drawn], minlength=len(names))[numbers]
    return Answer(
        numbers,
        n_explained,
        scores[numbers] / n_explained[:, None],
        missed[numbers] / np.maximum(moved[numbers], np.finfo(np.float32).tiny),
        None if every is None else in_columns(every, cells.columns, question.target.adata.n_vars),
    )


def in_columns(values: NDArray[np.float32], columns: NDArray[np.int64], n_vars: int) -> sparse.csr_matrix:
    """Return values, cells × genes of the model, in the columns of an AnnData; others are 0."""
    order = np.argsort(columns)
    indices = np.tile(columns[order], len(values))
    return sparse.csr_matrix(
        (values[:, order].ravel(), indices, np.arange(len(values) + 1) * len(columns)), (len(values), n_vars)
    )


def warn_of_error(question: Question, answer: Answer) -> None:
    """Warn if attributions do not add up to what they explain."""
    wrong = [
        question.groups.names[i] for i, error in zip(answer.numbers, answer.error, strict=True) if error > MAX_ERROR
    ]
    if wrong:
        _checks.warn(
            f"The attributions of {', '.join(map(repr, wrong))} do not add up to the difference in log-probability that "
            f"they explain: the error is up to {answer.error.max():.0%} of it. Pass a larger `n_steps` than "
            f"{question.settings['n_steps']}."
        )


def write_answer(question: Question, found: "Survey", answer: Answer) -> AnnData:
    """Write to the user's AnnData or to a copy in memory, and return it."""
    target, names = question.target, question.groups.names
    adata, keys = target.adata, target.keys
    if target.copy:
        adata = adata.to_memory() if adata.isbacked else adata.copy()
    fields: dict[tuple[str, str], Any] = {("obs", keys.group): categorical(found.labels, names)}
    if answer.per_cell is not None:
        fields["layers", keys.attributions] = answer.per_cell
    listed = [names[number] for number in answer.numbers]
    record = {
        "params": question.settings,
        "groups": listed,
        "n_cells": answer.n_explained,
        "convergence_error": answer.error,
    }
    ranked = ranking(question.model.preparation_.genes, listed, answer.scores, fold_changes(question, found, answer))
    write_fields(adata, keys, fields, record, ranked)
    return adata


def fold_changes(question: Question, found: "Survey", answer: Answer) -> NDArray[np.float64]:
    """Return log2 fold changes of each group against all other cells, shape (n_groups, n_genes).

    As in scanpy, from means of log-normalised values; NaN if values are not counts, or there are no
    other cells.
    """
    means, rest = found.means[answer.numbers], found.rest_means[answer.numbers]
    if not question.cells.are_counts:
        return np.full_like(means, np.nan)
    changes: NDArray[np.float64] = np.log2((np.expm1(means) + SMALL_MEAN) / (np.expm1(rest) + SMALL_MEAN))
    return changes


def ranking(
    genes: NDArray[np.str_], names: list[str], scores: NDArray[np.float64], changes: NDArray[np.float64]
) -> dict[str, np.recarray[Any, Any]]:
    """Return the tables of :func:`scanpy.tl.rank_genes_groups`: one column for each group.

    Genes are in the order of their scores, shape (n_groups, n_genes).
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    unknown = np.full(scores.shape, np.nan)
    tables: dict[str, tuple[NDArray[Any], str]] = {
        "names": (genes.astype(object)[order], "O"),
        "scores": (np.take_along_axis(scores, order, axis=1), "float32"),
        "logfoldchanges": (np.take_along_axis(changes, order, axis=1), "float32"),
        "pvals": (unknown, "float64"),
        "pvals_adj": (unknown, "float64"),
    }
    return {
        name: pd.DataFrame(dict(zip(names, table, strict=True))).to_records(index=False, column_dtypes=dtype)
        for name, (table, dtype) in tables.items()
    }
