"""Step 1: the user's AnnData and arguments."""

from collections.abc import Collection
from typing import Any

import pandas as pd
from anndata import AnnData

from scx._anndata import check_unlabeled, given_labels
from scx._checks import check_key
from scx._workflow.keys import Field, Keys

MAX_NAME_BYTES = 255
"""Longest name of a file, as which zarr keeps a field."""


def check_given_labels(
    adata: AnnData, labels_key: str | None, unlabeled_category: str, keys: Keys
) -> "pd.Categorical[Any] | None":
    """Return the types that ``adata.obs[labels_key]`` gives; None without a key, or where every cell is unlabelled.

    Unlabelled are cells with NaN, an empty string or `unlabeled_category`; types of no cell are left out.
    """
    if labels_key is None:
        return None
    check_key("labels_key", labels_key, "obs", adata.obs)
    if ("obs", labels_key) in keys.everything:
        msg = f"`key_added={keys.key_added!r}` would overwrite the labels in `adata.obs[{labels_key!r}]`. Pass another `key_added`."
        raise ValueError(msg)
    check_unlabeled(adata.obs[labels_key], labels_key, unlabeled_category)
    labels = given_labels(adata.obs[labels_key], unlabeled_category)
    return labels if len(labels.categories) else None


def check_key_added(adata: AnnData, keys: Keys, written: Collection[Field]) -> None:
    """Raise if h5ad or zarr could not hold a name made from `key_added`, or a field to be `written` is there that scx did not write."""
    key: Any = keys.key_added
    if not isinstance(key, str):
        msg = f"`key_added` must be a string, got {key!r}."
        raise TypeError(msg)
    longest = max(len(name.encode(errors="replace")) for _, name in keys.everything)
    for is_wrong, what in (
        (not key.strip(), "must not be empty"),
        (key != key.strip(), "must not begin or end with a blank"),
        (not key.isprintable(), "must not hold line breaks, tabs or other characters that cannot be printed"),
        (bool(set(key) & set("/\\")), "must not hold a slash, which h5ad and zarr take for the end of a folder's name"),
        (key.startswith((".", "__")) or key in {"_index", "zarr.json"}, "is a name that h5ad or zarr use themselves"),
        (key == adata.obs.index.name, "is the name of the index of `adata.obs`"),
        (longest > MAX_NAME_BYTES, f"is too long: with what is appended it takes {longest} of {MAX_NAME_BYTES} bytes"),
    ):
        if is_wrong:
            msg = f'`key_added={key if len(key) < 50 else key[:50] + "…"!r}` {what}. Pass another `key_added`, such as "clusters".'
            raise ValueError(msg)
    own = keys.recorded(adata.uns)
    taken = [
        f"adata.{where}[{name!r}]"
        for where, name in written
        if (where, name) not in own and name in getattr(adata, where)
    ]
    if taken:
        msg = (
            f"`key_added={key!r}` would overwrite {', '.join(taken)}, which scx did not write under this name. "
            "Pass another `key_added`, or delete them first."
        )
        raise ValueError(msg)
