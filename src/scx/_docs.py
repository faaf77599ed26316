"""Paragraphs that docstrings of the methods share, filled in by :func:`document`."""

from collections.abc import Callable
from textwrap import indent

PARAMETERS = """\
adata
    Cells × genes, with raw counts.
n_clusters
    Number of clusters k. None has it chosen on the embedding by stability and separation, see :doc:`/clusters`; with
    ``cluster="leiden"``, as many as Leiden finds at `resolution`.
layer
    Layer with raw counts; None for ``X``.
mask_var
    Genes to use: a column of ``var`` or one True or False per gene; None for all. By default
    ``var["highly_variable"]`` if there is one, else `n_top_genes` are selected. ``recipe="paper"`` always selects.
n_top_genes
    Number of highly variable genes to select, on a copy; None for the recipe's.
recipe
    ``"default"``: what we recommend. ``"paper"``: the published preprocessing, network, losses and schedule.
n_latent
    Dimensions of the embedding; None for the recipe's.
max_epochs
    Passes through the cells; None for the recipe's.
batch_size
    Cells per training step; None for the recipe's.
cluster
    How the embedding is clustered, as `method` of :func:`scx.tl.cluster`: ``"kmeans"``, ``"gmm"``, ``"ward"``, ``"spectral"``
    or ``"leiden"``; None for the recipe's.
resolution
    Resolution of Leiden, for ``cluster="leiden"`` without `n_clusters`; None for 1. Higher values give more clusters.
n_runs
    Train so many times from different seeds, and return the consensus of the clusters as :func:`scx.tl.consensus` finds it.
    Takes so many times as long.
key_added
    Name under which results are written. What an earlier run wrote under it is replaced; fields that scx did not write are never
    overwritten or deleted.
rng
    Seed, or generator to draw seeds from. The same seed gives the same result on the same machine, bit by bit on a CPU with
    the same number of threads (``torch.set_num_threads``).
    The global random state is left as it was.
accelerator, devices
    Where to train, as in :class:`lightning.pytorch.Trainer`.
model_dir
    Folder, not yet there, in which the trained model is saved; load it with the model's ``load``, which runs code that is in the
    file: load only what you trust. ``~`` stands for your home. With ``copy=True``, a model that cannot be saved is a warning, so
    that the copy is not lost.
model_kwargs
    Further arguments of the module, see the model.
train_kwargs
    Further arguments of the model's ``train``, and of :class:`scvi.train.Trainer`. ``{"snapshot_epochs": [1, 5, 20]}`` keeps
    the embedding after these epochs.
copy
    Return an annotated copy instead of writing to `adata`."""

RETURNS = """\
None if ``copy=False``, else the annotated copy. Sets the following fields:

``adata.obs[key_added]`` : categorical
    Cluster of each cell, ``"0"`` being the largest.
``adata.obs[f"{key_added}_confidence"]`` : float32
    Probability of the cell's cluster in [0, 1], given the distances to the means of all clusters in the embedding, see
    :func:`scx.tl.cluster`; mean over runs.
``adata.obs[f"{key_added}_agreement"]`` : float32
    With several runs: how far they agree on the cell, see :func:`scx.tl.consensus`.
``adata.obsm[f"X_{key_added}"]`` : float32, cells × n_latent
    Embedding; with several runs, that of the run which agrees most with the consensus, as is the model that is saved.
``adata.obsm[f"X_{key_added}_snapshots"]`` : float32, cells × epochs × n_latent
    With ``snapshot_epochs``: the embedding after each of these epochs, as it would be had training ended there.
``adata.obsm[f"{key_added}_snapshots"]`` : int32, cells × epochs
    Its clusters, found as those in ``obs`` and with the same k; 0 is the largest. The epochs are in
    ``adata.uns[key_added]["snapshots"]``; those that early stopping left out are missing.
``adata.uns[key_added]`` : dict
    ``params``, ``history`` (each loss by epoch), ``phases`` (their first epochs, where there are several), ``n_clusters`` (the number ``chosen``, which is the one found,
    the number ``asked`` for if there was one, the ``reason``, and where k was not given the curves
    ``stability``, ``separation``, ``score`` over the numbers ``tried``), ``cluster`` (the algorithm used), ``fields`` (what was written to
    ``obs`` and ``obsm``, which the next run under this name replaces or deletes), ``scx_version``."""

RAISES = """\
ValueError, TypeError
    If an argument or the counts cannot be used, before any training; the message says what to do, `adata` stays as it was.
RuntimeError
    If training diverged, which is seen at the end of an epoch; the message names the learning rate, `adata` stays as it was.
OSError
    If the model could not be saved in the end. The results are written by then.

Warns
-----
UserWarning
    If there are not as many clusters as asked for, or they separate nothing: then the confidence is that of chance, 1 / k."""

PLOT_PARAMETERS = """\
ax
    Axes to draw into; several panels divide it. None makes a figure.
show
    Show the figure; None does what ``sc.settings.autoshow`` says.
return_fig
    Return the figure, and do not show it."""

PLOT_RETURNS = """\
The Axes if ``show=False``, a list of them where there are several panels; the figure if ``return_fig=True``; else None."""


def document[F: Callable](function: F) -> F:
    """Put the shared paragraphs in place of their names in braces in a docstring: ``{parameters}``, ``{returns}``, ..."""
    if function.__doc__:  # none under python -OO
        blocks = {
            "parameters": PARAMETERS,
            "returns": RETURNS,
            "raises": RAISES,
            "plot_parameters": PLOT_PARAMETERS,
            "plot_returns": PLOT_RETURNS,
        }
        doc = function.__doc__
        for name, block in blocks.items():
            doc = doc.replace(f"    {{{name}}}", indent(block, "    "))
        function.__doc__ = doc
    return function
