from anndata import AnnData

from scx._types import typed
from scx._workflow.map import map_and_annotate


@typed
def map_query(
    adata: AnnData,
    model: object,
    *,
    key_added: str | None = None,
    layer: str | None = None,
    gene_key: str | None = None,
    outlier_alpha: float = 0.05,
    copy: bool = False,
) -> AnnData | None:
    """Map new cells to a trained model: embedding, cluster, confidence, and cells unlike any other.

    Nothing is trained, and the result for a cell depends on no other cell. The model normalises raw
    counts as in training, embeds the cells, and gives each the cluster that its place in the
    embedding has. With :func:`scx.tl.semiaae` and labels, the head predicts known types.

    Parameters
    ----------
    adata
        New cells × genes, with raw counts in ``X`` or in `layer`, from memory or from disk; one
        cell is enough. Genes are matched by name, in any order, among others. Missing genes are
        filled as in the average cell of training, up to 20 % of the genes of the model.
    model
        A model, or the folder that `model_dir` of a method saved it in.
    key_added
        Name under which results are written; None for the name of the method, such as
        ``"contrastive"``, under which the reference has its own.
    layer
        Layer with raw counts; None for ``X``, whatever layer the model was trained on.
    gene_key
        Column of ``var`` with names of genes as in training, for example symbols if ``var_names``
        are IDs; None for ``var_names``.
    outlier_alpha
        Cells whose p-value is below this are ``"Unknown"``; 0 for none.
    copy
        Return an annotated copy instead of writing to `adata`.

    Returns
    -------
    None if ``copy=False``, else the annotated copy. Sets the following fields, named after the
    method if `key_added` is None:

    ``adata.obs[key_added]`` : categorical
        Cluster of each cell, or ``"Unknown"``. The categories are all clusters of the reference and
        ``"Unknown"``, the default `unlabeled_category` of :func:`scx.tl.semiaae`.
    ``adata.obs[f"{key_added}_closest"]`` : categorical
        Closest cluster of each cell, ``"Unknown"`` or not.
    ``adata.obs[f"{key_added}_confidence"]`` : float32
        Confidence of the closest cluster, as in training.
    ``adata.obs[f"{key_added}_outlier"]`` : float32
        p-value of the cell for being drawn as the cells of training were: the share of held-back
        cells of training that are at least as remote. Among cells like those of training, about
        `outlier_alpha` are below `outlier_alpha`.
    ``adata.obs[f"{key_added}_outlier_score"]`` : float32
        How remote the cell is from the cells of training, the basis of the p-value: the logarithm
        of the distance to the 15 nearest of them, over the root of the distances between these, in
        the embedding and in 20 principal components of normalised expression; each centered and
        scaled on held-back cells, and their mean.
    ``adata.obsm[f"X_{key_added}"]`` : float32, cells × n_latent
        Embedding, with the same axes as that of the reference.
    ``adata.obs[f"{key_added}_prediction"]``, ``adata.obsm[f"{key_added}_proba"]``
        For a model with known types: the most likely one, and the probability of each, as in
        :func:`scx.tl.semiaae`.
    ``adata.uns[key_added]`` : dict
        ``params``, with the number of genes of the model and of those missing, ``n_unknown``,
        ``fields``, ``types`` if known, ``scx_version``.

    Raises
    ------
    ValueError, TypeError
        If an argument or the counts cannot be used, if more than 20 % of the genes are missing, or
        if the model has no clusters or embeds cells in the context of others
        (:class:`scx.model.CICL` with ``attention="batch"``). The message says what to do. `adata`
        is unchanged.

    Warns
    -----
    UserWarning
        If genes of the model are missing, with their number and their share of the variance; if
        genes whose counts make up the size factors are missing; if more than half of the cells are
        unknown.

    Notes
    -----
    A p-value tells a cell whose expression is unlike that of every cell of training, such as one of
    a type that the reference lacks. It cannot see a type that is close to a known one, a doublet
    that looks like a real cell, or a wrong label in the reference. If all new cells differ, by
    technology, tissue or treatment, many are unlike the reference, of known types too.

    Examples
    --------
    >>> import scx, tempfile
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> reference, query = adata[:500].copy(), adata[500:].copy()
    >>> folder = f"{tempfile.mkdtemp()}/model"
    >>> scx.tl.contrastive(reference, n_clusters=8, model_dir=folder)
    >>> scx.tl.map_query(query, folder)
    >>> query.obs["contrastive"].value_counts()
    """
    return map_and_annotate(
        adata,
        model,
        key_added=key_added,
        layer=layer,
        gene_key=gene_key,
        outlier_alpha=outlier_alpha,
        copy=copy,
    )
