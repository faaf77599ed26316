import numpy as np
from anndata import AnnData
from scipy import sparse

MAX_DEVIATION = 0.09
"""Distance from a whole number that float32 and the logarithm leave at most."""


def pbmc68k_reduced() -> AnnData:
    """Load 700 peripheral blood mononuclear cells × 765 genes with raw UMI counts :cite:p:`Zheng2017`.

    Needs no network: scanpy ships these cells as ln(1 + counts per 10,000), and the counts c of a cell with total n follow
    from its values x as c = (exp(x) − 1) · n / 10,000, rounded.

    Returns
    -------
    ``X`` holds counts as CSR in float32; ``obs["bulk_labels"]`` the cell types of the authors, ``obs["n_counts"]`` the total
    over all genes, measured before the selection of 765.

    Raises
    ------
    RuntimeError
        If what scanpy ships does not give whole numbers.
    """
    import scanpy as sc

    shipped = sc.datasets.pbmc68k_reduced()
    counts = sparse.csr_matrix(shipped.raw.X, dtype=np.float64)
    n_counts = shipped.obs["n_counts"].to_numpy(dtype=np.float64)
    counts.data = np.expm1(counts.data) * np.repeat(n_counts / 1e4, np.diff(counts.indptr))
    deviation = np.abs(counts.data - np.round(counts.data)).max()
    if deviation > MAX_DEVIATION:
        msg = (
            f"The counts of scanpy.datasets.pbmc68k_reduced cannot be restored: values lie up to {deviation:.3f} from whole "
            "numbers. scanpy's file has changed; please report this."
        )
        raise RuntimeError(msg)
    counts.data = np.round(counts.data)
    counts.eliminate_zeros()
    obs = shipped.obs.drop(columns=["louvain"])
    return AnnData(counts.astype(np.float32), obs=obs, var=shipped.raw.var[[]])
