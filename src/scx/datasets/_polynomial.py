import numpy as np
import pandas as pd
from anndata import AnnData

from scx._checks import check_rng
from scx._types import typed

SIZES = {"large": 1000, **{f"small {i}": 200 for i in range(1, 6)}, "outlier": 200}
"""Points of each group."""


@typed
def polynomial_manifold(rng: int | np.random.Generator = 0) -> AnnData:
    """Draw 2,200 points on a 2-dimensional surface in 9 dimensions :cite:p:`Ding2018,Pan2023`.

    In the plane, 1,000 points form a large cluster on the left; 200 points each form five small
    clusters on the right, close enough to pass for one; and 200 outliers are spread evenly. The
    plane is mapped to (x + y, x − y, xy, x², y², x²y, xy², x³, y³), each divided by its largest
    absolute value. The articles show the plane without numbers. Here, the large cluster is normal
    around (−4, 0) with standard deviation 1; the small ones are normal with 0.4 around five points
    at distance 1.5 from (4, 0); outliers are uniform in [−8, 8] × [−5, 5].

    Parameters
    ----------
    rng
        Seed, or generator to draw from. The global random state is not changed.

    Returns
    -------
    ``X``
        Values, 2,200 × 9, float32; they are not counts.
    ``obs["group"]`` : categorical
        ``"large"``, ``"small 1"`` to ``"small 5"``, or ``"outlier"``.
    ``obsm["X_plane"]``
        Coordinates in the plane, float32.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.polynomial_manifold()
    >>> scx.model.InfoVAE.setup_anndata(adata)
    >>> model = scx.model.InfoVAE(adata, likelihood="gaussian", n_latent=2)
    """
    check_rng(rng)
    rng = np.random.default_rng(rng)
    angles = 2 * np.pi * np.arange(5) / 5
    small = np.stack([4 + 1.5 * np.cos(angles), 1.5 * np.sin(angles)], axis=1)
    plane = np.concatenate(
        [
            rng.normal((-4, 0), 1, (SIZES["large"], 2)),
            *(rng.normal(center, 0.4, (SIZES["small 1"], 2)) for center in small),
            rng.uniform((-8, -5), (8, 5), (SIZES["outlier"], 2)),
        ]
    )
    x, y = plane.T
    monomials = np.stack([x + y, x - y, x * y, x**2, y**2, x**2 * y, x * y**2, x**3, y**3], axis=1)
    monomials /= np.abs(monomials).max(axis=0)
    groups = pd.Categorical(np.repeat(list(SIZES), list(SIZES.values())), categories=list(SIZES))
    adata = AnnData(
        monomials.astype(np.float32),
        obs=pd.DataFrame({"group": groups}, index=[f"point_{i}" for i in range(len(plane))]),
        var=pd.DataFrame(index=["x+y", "x-y", "xy", "x^2", "y^2", "x^2 y", "x y^2", "x^3", "y^3"]),
    )
    adata.obsm["X_plane"] = plane.astype(np.float32)
    return adata
