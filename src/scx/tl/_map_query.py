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
