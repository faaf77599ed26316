"""Shared documentation: paragraphs that several docstrings contain, and docstrings of fields."""

import ast
import inspect
import types
from collections.abc import Callable, Mapping
from itertools import pairwise
from textwrap import dedent, indent
from typing import Any

METHOD_DATA = """\
adata
    Cells × genes, with raw counts in ``X`` or in `layer`.
n_clusters
    Number of clusters k, or the least and the largest number to choose from, such as ``(4, 20)``.
    It is chosen on the embedding by stability and separation, see :doc:`/clusters`. None chooses
    any number; with ``cluster="leiden"``, None takes as many as Leiden finds at `resolution`."""

METHOD_RETURNS = """\
Returns
-------
None if ``copy=False``, else the annotated copy. Sets the following fields:

``adata.obs[key_added]`` : categorical
    Cluster of each cell, ``"0"`` being the largest.
``adata.obs[f"{key_added}_confidence"]`` : float32
    Probability of the cell's cluster in [0, 1], given the distances to the means of all clusters in
    the embedding, see :func:`scx.tl.cluster`; mean over runs.
``adata.obs[f"{key_added}_agreement"]`` : float32
    With ``n_runs`` above 1: how well the runs agree on the cell, see :func:`scx.tl.consensus`.
``adata.obsm[f"X_{key_added}"]`` : float32, cells × n_latent
    Embedding. Several runs keep the embedding and the model of the run that agrees most with the
    consensus.
``adata.obsm[f"X_{key_added}_snapshots"]`` : float32, cells × epochs × n_latent
    With ``snapshot_epochs``: the embedding after each of these epochs, the same as after a training
    with that many epochs.
``adata.obsm[f"{key_added}_snapshots"]`` : int32, cells × epochs
    With ``snapshot_epochs``: the clusters of these embeddings, found with the same algorithm and k as
    those in ``obs``; 0 is the largest. ``adata.uns[key_added]["snapshots"]`` lists the epochs; early
    stopping leaves out those that were not reached.
``adata.uns[key_added]`` : dict
    ``params``, ``history`` (each loss by epoch), ``phases`` (the first epoch of each, if there are
    several), ``n_clusters`` (the number ``chosen``, which is the number found; the number ``asked``
    for, if any; the ``reason``; and if k was not given the curves ``stability``, ``separation``,
    ``score`` over the numbers ``tried``), ``cluster`` (the algorithm), ``fields`` (what was written
    to ``obs`` and ``obsm``; the next run under this name replaces or deletes it), ``scx_version``.

Raises
------
ValueError, TypeError
    Before training, if an argument or the counts cannot be used. The message says what to do.
    `adata` is unchanged.
RuntimeError
    At the end of an epoch, if training diverged. The message names the learning rate. `adata` is
    unchanged.
OSError
    After the results are written, if the model could not be saved.

Warns
-----
UserWarning
    If the number of clusters differs from `n_clusters`, or if the clusters separate nothing; then
    every confidence is that of chance, 1 / k."""

PLOT_PARAMETERS = """\
ax
    Axes to draw into; several panels divide it. None makes a figure.
show
    Show the figure; None for the value of ``sc.settings.autoshow``.
return_fig
    Return the figure, and do not show it."""

PLOT_RETURNS = """\
The Axes if ``show=False``, a list of them if there are several panels; the figure if
``return_fig=True``; else None."""

PARAGRAPHS = {
    "data": METHOD_DATA,
    "returns": METHOD_RETURNS,
    "plot_parameters": PLOT_PARAMETERS,
    "plot_returns": PLOT_RETURNS,
}
"""Shared paragraphs by their name in docstrings."""


def document[F: Callable[..., Any]](function: F) -> F:
    """Fill in a docstring: replace ``{plot_parameters}`` and other names of :data:`PARAGRAPHS`."""
    function.__doc__ = filled(function.__doc__, PARAGRAPHS)
    return function


def filled(doc: str | None, paragraphs: Mapping[str, str]) -> str | None:
    """Return a docstring in which each paragraph replaces its name in braces."""
    if doc is None:  # under python -OO
        return None
    for name, paragraph in paragraphs.items():
        doc = doc.replace(f"    {{{name}}}", indent(paragraph, "    "))
    return doc


def field_docs(cls: type) -> Mapping[str, str]:
    """Return the docstring that follows each field of a dataclass or TypedDict, by field.

    Fields of parent classes come first. Docstrings of fields exist only in the source: if it is not
    available, the result is empty.
    """
    docs: dict[str, str] = {}
    for parent in types.get_original_bases(cls):
        if isinstance(parent, type) and parent is not object:
            docs |= field_docs(parent)
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):  # no source, built-in class
        return docs
    assert isinstance(definition, ast.ClassDef)
    for statement, following in pairwise(definition.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[field] = inspect.cleandoc(doc)
    return docs


def parameter_docs(docs: Mapping[str, str]) -> str:
    """Return the documentation of parameters in the format of a numpydoc section ``Parameters``."""
    return "\n".join(f"{name}\n{indent(doc, '    ')}" for name, doc in docs.items())
