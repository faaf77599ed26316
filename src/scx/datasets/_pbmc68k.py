import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

TOLERANCE = 5.1e-4
"""Largest accepted deviation of scanpy's values, rounded to three decimals, from whole counts."""


def pbmc68k_reduced() -> AnnData:
    """Load 700 blood cells (PBMC) × 765 genes with raw UMI counts :cite:p:`Zheng2017`.

    Needs no network: scanpy ships these cells as ln(1 + counts per 10,000). The counts c of a cell
    with total n follow from its values x as c = (exp(x) − 1) · n / 10,000, rounded.

    Returns
    -------
    ``X`` holds counts as CSR in float32, ``obs["bulk_labels"]`` the cell types of the authors.
    ``obs["n_counts"]``, ``obs["n_genes"]`` and ``obs["percent_mito"]`` are the total count, the
    number of detected genes and the mitochondrial fraction, over all genes before the selection of
    765.

    Raises
    ------
    RuntimeError
        If the values that scanpy ships do not come from whole numbers.
    """
    import scanpy as sc

    shipped = sc.datasets.pbmc68k_reduced()
    assert isinstance(shipped.obs, pd.DataFrame)
    counts = sparse.csr_matrix(shipped.raw.X, dtype=np.float64)
    values = counts.data
    per_cell = np.repeat(shipped.obs["n_counts"].to_numpy(dtype=np.float64) / 1e4, np.diff(counts.indptr))
    counts.data = np.round(np.expm1(values) * per_cell)
    deviation = np.abs(np.log1p(counts.data / per_cell) - values).max()
    if not deviation <= TOLERANCE:  # so that NaN fails too
        msg = (
            "The counts of scanpy.datasets.pbmc68k_reduced cannot be restored: its values deviate by up to "
            f"{deviation:.3g} from those of whole numbers. scanpy's file has changed; please report this."
        )
        raise RuntimeError(msg)
    counts.eliminate_zeros()
    obs = shipped.obs[["bulk_labels", "n_genes", "n_counts", "percent_mito"]]
    return AnnData(counts.astype(np.float32), obs=obs, var=shipped.raw.var[[]])
