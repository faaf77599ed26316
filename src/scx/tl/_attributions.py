from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from scx._types import typed
from scx._workflow.attributions import attribute_and_annotate


@typed
def attributions(
    adata: AnnData,
    model: object,
    groups: Sequence[str] | None = None,
    *,
    n_cells: int = 100,
    n_steps: int = 64,
    per_cell: bool = False,
    key_added: str = "attributions",
    rng: int | np.random.Generator = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Rank the genes that drive each cluster, or each known type, in a trained model.

    The score of a gene is how much it raises the log-probability of the cluster of a cell above
    that of the average cell, in the mean over cells of the cluster: integrated gradients
    :cite:p:`Sundararajan2017`. For a cell with normalised expression :math:`x` in cluster
    :math:`c`,

    .. math::

        a_g = x_g \int_0^1 \frac{\partial \ln p_c(t x)}{\partial x_g} \, \mathrm{d}t , \qquad
        \sum_g a_g = \ln p_c(x) - \ln p_c(0) .

    Normalised expression is log-normalised, centered and clipped as the model does it, so 0 is the
    average cell of training. The probabilities of clusters are those of their confidence, Student-t
    distributions around their means in the embedding, see :func:`scx.tl.cluster`. With
    :func:`scx.tl.semiaae` and labels, the groups are the known types as predicted, with the
    probabilities of the head. With ``n_runs`` above 1, clusters are those of the consensus, in the
    embedding of the run that was kept. The result is in the layout of
    :func:`scanpy.tl.rank_genes_groups`: :func:`scanpy.get.rank_genes_groups_df` and
    ``sc.pl.rank_genes_groups*`` read it. It needs captum (``pip install captum``).

    Parameters
    ----------
    adata
        Cells × genes, with raw counts where the model had them in training (``X`` or the same
        layer): the cells of training, or others. It needs all genes of the model, by name in any
        order.
    model
        A model that a method of ``scx.tl`` trained, or the folder that its `model_dir` saved it in.
    groups
        Clusters or known types to rank genes for, such as ``["0", "3"]``; None for all that have
        cells.
    n_cells
        Most cells of a group whose attributions are averaged, drawn at random.
    n_steps
        Number of points at which the integral is evaluated, at most 1,000. Run time scales with it.
    per_cell
        Also write the attributions of all cells, each for its own group.
    key_added
        Name under which results are written. Results of an earlier call under it are replaced.
    rng
        Seed, or generator to draw one from, for the choice of cells.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields:

    ``adata.uns[key_added]`` : dict
        ``names``, ``scores``, ``logfoldchanges``, ``pvals`` and ``pvals_adj``: structured arrays
        with a column for each group, genes of the model in the order of their scores. Log fold
        changes are log2 ratios of the cells of a group to all others, from means of log-normalised
        expression, as scanpy computes them; NaN for a model of values that are not counts.
        p-values are NaN: nothing is tested. ``convergence_error``: for each of the ``groups``, the
        mean deviation of the sum of a cell's attributions from what they explain, as a share of the
        latter. ``n_cells``: number of cells that were averaged. ``params``, ``fields``,
        ``scx_version``.
    ``adata.obs[f"{key_added}_group"]`` : categorical
        Group of each cell, as the model assigns it.
    ``adata.layers[key_added]`` : CSR, float32
        With `per_cell`: attribution of each gene to the group of each cell; 0 for genes that the
        model does not use. Memory is 8 bytes × cells × genes of the model.

    Raises
    ------
    ImportError
        If captum is not installed.
    ValueError, TypeError
        If an argument or the counts cannot be used; if the model has no clusters, or a single one;
        if it embeds cells in the context of others (:class:`scx.model.CICL` with
        ``attention="batch"``). The message says what to do. `adata` is unchanged.

    Warns
    -----
    UserWarning
        If the convergence error of a group is above 5 %.

    Notes
    -----
    A high score says that the network uses the gene, not that the gene differs in the population:
    of two genes that tell the same, the network may use one. A gene that is low in a cluster can
    have a high score too; its log fold change is negative. Compare with markers by expression,
    ``sc.tl.rank_genes_groups(adata, "attributions_group")`` on log-normalised values.

    Examples
    --------
    >>> import scanpy as sc, scx, tempfile
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> folder = f"{tempfile.mkdtemp()}/model"
    >>> scx.tl.contrastive(adata, n_clusters=8, model_dir=folder)
    >>> scx.tl.attributions(adata, folder)
    >>> sc.get.rank_genes_groups_df(adata, "0", key="attributions").head(10)
    """
    return attribute_and_annotate(
        adata,
        model,
        groups,
        n_cells=n_cells,
        n_steps=n_steps,
        per_cell=per_cell,
        key_added=key_added,
        rng=rng,
        copy=copy,
    )
