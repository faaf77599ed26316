"""Fields of ``obs`` that models read, by their names in the registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from anndata import AnnData

from scx._anndata import check_batches, check_unlabeled, parse_labels
from scx._checks import check_key
from scx._workflow.keys import LABELS, Keys


@dataclass(frozen=True)
class ObsField:
    """A field of ``obs`` as a model reads it.

    Parameters
    ----------
    column
        Its column in the working AnnData.
    values
        Its value for each cell; None if the model ignores the field.
    setup
        Arguments of ``setup_anndata`` that name the column.
    arguments
        Arguments of the call that named the field in the user's AnnData, for the run record.
    types
        Known types in the field. Clusters are named after them.
    predicts
        Whether the known type of every cell is predicted from it.
    """

    column: str
    values: "pd.Categorical[Any] | None"
    setup: Mapping[str, str]
    arguments: Mapping[str, Any]
    types: tuple[str, ...] = ()
    predicts: bool = False


def read_labels(adata: AnnData, keys: Keys, arguments: Mapping[str, Any]) -> ObsField | None:
    """Return the labels, from the arguments ``labels_key`` and ``unlabeled_category``.

    Without ``labels_key``, return None. Cells with NaN, an empty string or ``unlabeled_category``
    are unlabelled. Types without cells are left out. If no cell has a label, the model is trained
    without labels.
    """
    key, unlabeled_category = arguments["labels_key"], arguments["unlabeled_category"]
    if key is None:
        return None
    check_key("labels_key", key, "obs", adata.obs)
    check_kept("labels", key, keys)
    check_unlabeled(adata.obs[key], key, unlabeled_category)
    labels = parse_labels(adata.obs[key], unlabeled_category)
    types = tuple(labels.categories)
    setup = {"labels_key": LABELS, "unlabeled_category": ""} if types else {}
    return ObsField(LABELS, labels if types else None, setup, arguments, types, predicts=True)


def read_batches(adata: AnnData, keys: Keys, batch_key: str) -> "pd.Series[Any]":
    """Return the batch of each cell, see :func:`scx._anndata.check_batches`."""
    batches = check_batches(adata, batch_key)
    check_kept("batches", batch_key, keys)
    return batches


def check_kept(what: str, key: str, keys: Keys) -> None:
    """Raise if results would be written to ``obs[key]``, which holds `what`."""
    if ("obs", key) in keys.everything:
        msg = f"`key_added={keys.key_added!r}` would overwrite the {what} in `adata.obs[{key!r}]`. Pass another `key_added`."
        raise ValueError(msg)


READERS: dict[str, Callable[[AnnData, Keys, Mapping[str, Any]], ObsField | None]] = {"labels": read_labels}
"""For each field, the function that checks and reads it."""
