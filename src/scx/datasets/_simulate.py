from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from scx._checks import check_positive_int, check_rng
from scx._types import typed

CHUNK_VALUES = 2**18
"""Cells × genes that are dense at a time: 2 MiB per array in float64, which fits the cache."""
MAX_OBS, MAX_VARS = 10**8, 10**6
"""Largest number of cells and genes; more would fill the memory."""
MAX_LIBRARY_SIZE = 2**24
"""Largest count up to which float32 holds every whole number."""
LIMITS = {
    "mean_shape": (0.1, 100.0),
    **dict.fromkeys(("outlier_prob", "de_prob", "de_down_prob"), (0.0, 1.0)),
    **dict.fromkeys(("outlier_loc", "library_loc", "de_loc", "batch_loc", "dropout_mid"), (-20.0, 20.0)),
    **dict.fromkeys(("outlier_scale", "library_scale", "de_scale", "batch_scale"), (0.0, 5.0)),
    "bcv_common": (0.0, 10.0),
    "bcv_df": (2.0, np.inf),
    "dropout_shape": (-20.0, 20.0),
}
"""Smallest and largest value of each number; within these limits nothing overflows."""


@typed
def simulate(
    n_obs: int = 1000,
    n_vars: int = 2000,
    *,
    n_groups: int = 4,
    group_probs: Sequence[float] | None = None,
    mean_shape: float = 0.6,
    outlier_prob: float = 0.05,
    outlier_loc: float = 4.0,
    outlier_scale: float = 0.5,
    library_loc: float = 11.0,
    library_scale: float = 0.2,
    de_prob: float = 0.1,
    de_down_prob: float = 0.5,
    de_loc: float = 0.1,
    de_scale: float = 0.4,
    bcv_common: float = 0.1,
    bcv_df: float = 60.0,
    dropout_mid: float | None = None,
    dropout_shape: float = -1.0,
    n_batches: int = 1,
    batch_loc: float = 0.1,
    batch_scale: float = 0.1,
    rng: int | np.random.Generator = 0,
) -> AnnData:
    r"""Simulate counts of cells in known groups with the model of Splatter :cite:p:`Zappia2017`.

    For gene :math:`g` and cell :math:`i` of group :math:`k` in batch :math:`b`, with defaults as in
    Splatter:

    .. math::

        \mu_g &\sim \mathrm{Gamma}(\text{mean\_shape}), \quad
            \text{or } \operatorname{median}(\mu) \cdot e^{|z|}
            \text{ with probability outlier\_prob} \\
        f_{gk} &= e^{\pm |z|} \text{ with probability de\_prob, else } 1, \quad
            b_{gb} = e^{\pm |z|} \text{ if there are several batches, else } 1 \\
        L_i &\sim \mathrm{LogNormal}(\text{library\_loc}, \text{library\_scale}), \quad
            m_{gi} = L_i \, \frac{\mu_g f_{gk} b_{gb}}{\sum_h \mu_h f_{hk} b_{hb}} \\
        B_{gi} &= \left(\text{bcv\_common} + 1 / \sqrt{m_{gi}}\right)
            \sqrt{\text{bcv\_df} / \chi^2_g}, \quad \chi^2_g \sim \chi^2(\text{bcv\_df}) \\
        \lambda_{gi} &\sim \mathrm{Gamma}(\text{shape } 1 / B_{gi}^2, \text{ mean } m_{gi}), \quad
            y_{gi} \sim \mathrm{Poisson}(\lambda_{gi}) \\
        P(y_{gi} \to 0) &= 1 / \left(1 +
            e^{-\text{dropout\_shape} \, (\ln \lambda_{gi} - \text{dropout\_mid})}\right)

    where each :math:`z` is normal with the location and scale of the outliers, of differential
    expression or of the batches. Splatter's rate of gene means cancels in :math:`m_{gi}`.

    Parameters
    ----------
    n_obs, n_vars
        Number of cells and genes. Memory is proportional to the number of nonzero counts.
    n_groups
        Number of groups; their sizes differ by at most one cell.
    group_probs
        Share of each group, instead of `n_groups`; sizes are exact up to one cell.
    mean_shape
        Shape of the gamma distribution of gene means; smaller values are more unequal.
    outlier_prob, outlier_loc, outlier_scale
        Probability that a gene is highly expressed, and its factor over the median gene.
    library_loc, library_scale
        Natural logarithm of the expected total count of a cell: mean and standard deviation. Lower
        `library_loc` for sparser counts: ln 2,000 ≈ 7.6 is usual for droplets.
    de_prob, de_down_prob, de_loc, de_scale
        Probability that a gene is differentially expressed in a group, probability that it is then
        down-regulated, and its factor.
    bcv_common, bcv_df
        Biological coefficient of variation in the limit of high expression, and degrees of freedom
        of its spread over genes; ``inf`` for no spread.
    dropout_mid, dropout_shape
        ln λ at which half of the counts are lost, and slope; with negative slopes, low counts are
        lost. None for no dropout.
    n_batches
        Number of batches of equal size, independent of the groups.
    batch_loc, batch_scale
        Factor of each gene in each batch; up or down with equal probability.
    rng
        Seed, or generator to draw from. The global random state is not changed.

    Returns
    -------
    ``X``
        Counts, cells × genes, CSR in float32. Cells are in random order. As in Splatter, cells
        whose counts are all zero are kept; ``sc.pp.filter_cells(adata, min_counts=1)`` removes
        them.
    ``obs["group"]``, ``obs["batch"]`` : categorical
        Group and batch of each cell, named ``"0"``, ``"1"``, …
    ``obs["library_size"]`` : float64
        :math:`L_i`, expected counts before dropout.
    ``var["base_mean"]`` : float64
        :math:`\mu_g`, outliers included; only ratios matter.
    ``var["de_factor_{group}"]``, ``var["batch_factor_{batch}"]`` : float64
        :math:`f_{gk}` and :math:`b_{gb}`.
    ``uns["simulate"]`` : dict
        The arguments, without those that are None and without a generator.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message says what to do.

    Examples
    --------
    A balanced set as in :cite:p:`Ciortan2021`, whose `dropout_mid` is −1, 0, 1 or 1.5:

    >>> import scx
    >>> adata = scx.datasets.simulate(4 * 250, 2500, n_groups=4, de_scale=0.2, dropout_mid=1)
    """
    arguments = dict(locals())
    if group_probs is not None:
        del arguments["n_groups"]
    _check(arguments)
    n_obs, n_vars = int(n_obs), int(n_vars)  # small integers of numpy would overflow
    rng = np.random.default_rng(rng)

    groups = _random_labels(rng, n_obs, np.full(n_groups, 1 / n_groups) if group_probs is None else group_probs)
    batches = _random_labels(rng, n_obs, np.full(n_batches, 1 / n_batches))
    library_sizes = rng.lognormal(library_loc, library_scale, n_obs)
    if library_sizes.max() > MAX_LIBRARY_SIZE:
        msg = (
            f"`library_loc={library_loc}` with `library_scale={library_scale}` gives cells of up to "
            f"{library_sizes.max():.2g} counts; float32 holds whole numbers up to {MAX_LIBRARY_SIZE:,} only. "
            "Lower `library_loc`, a natural logarithm."
        )
        raise ValueError(msg)

    base_means = rng.standard_gamma(mean_shape, n_vars)
    outlier_factors = _factors(rng, (n_vars,), outlier_prob, 0, outlier_loc, outlier_scale)
    base_means = np.where(outlier_factors == 1, base_means, np.median(base_means) * outlier_factors)
    de_factors = _factors(rng, (int(groups.max()) + 1, n_vars), de_prob, de_down_prob, de_loc, de_scale)
    batch_factors = _factors(rng, (n_batches, n_vars), float(n_batches > 1), 0.5, batch_loc, batch_scale)
    # one draw per gene, whatever the cell
    bcv_spread = np.ones(n_vars) if np.isinf(float(bcv_df)) else bcv_df / rng.chisquare(bcv_df, n_vars)

    def counts(cells: slice) -> sparse.csr_matrix:
        """Draw the counts of some `cells`, shape (n_cells, n_vars)."""
        means = base_means * de_factors[groups[cells]] * batch_factors[batches[cells]]
        means *= (library_sizes[cells] / means.sum(axis=1))[:, None]
        gamma_scale = bcv_spread * (1 + bcv_common * np.sqrt(means)) ** 2  # m · B², finite where m is 0
        rates = rng.standard_gamma(means / gamma_scale) * gamma_scale
        values = rng.poisson(rates)
        if dropout_mid is not None:
            expressed = values.nonzero()
            lost = expit(dropout_shape * (np.log(rates[expressed]) - dropout_mid))
            values[expressed] *= rng.random(lost.shape) >= lost
        return sparse.csr_matrix(values, dtype=np.float32)

    step = max(1, CHUNK_VALUES // n_vars)
    adata = AnnData(
        sparse.vstack([counts(slice(start, start + step)) for start in range(0, n_obs, step)], format="csr"),
        obs=pd.DataFrame(
            {"group": _categorical(groups), "batch": _categorical(batches), "library_size": library_sizes},
            index=[f"cell_{i}" for i in range(n_obs)],
        ),
        var=pd.DataFrame(
            {
                "base_mean": base_means,
                **{f"de_factor_{k}": factors for k, factors in enumerate(de_factors)},
                **{f"batch_factor_{b}": factors for b, factors in enumerate(batch_factors)},
            },
            index=[f"gene_{g}" for g in range(n_vars)],
        ),
    )
    adata.uns["simulate"] = {
        name: value if np.isscalar(value) else np.asarray(value)
        for name, value in arguments.items()
        if value is not None and not isinstance(value, np.random.Generator)
    }
    return adata


def _check(arguments: dict[str, Any]) -> None:
    """Raise unless the arguments of :func:`simulate` can be used."""
    check_rng(arguments["rng"])
    for name, largest_size in (("n_obs", MAX_OBS), ("n_vars", MAX_VARS)):
        check_positive_int(name, arguments[name], maximum=largest_size)
    for name in {"n_groups", "n_batches"} & arguments.keys():
        check_positive_int(name, arguments[name], maximum=arguments["n_obs"], why=" (`n_obs`, the number of cells)")
    for name, (smallest, largest) in LIMITS.items():
        value = arguments[name]
        if name == "dropout_mid" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            msg = f"`{name}` must be a number, got {value!r}."
            raise TypeError(msg)
        if not smallest <= float(value) <= largest:
            msg = f"`{name}` must be between {smallest:g} and {largest:g}, got {value}."
            raise ValueError(msg)
    if arguments["group_probs"] is not None:
        probs = np.asarray(arguments["group_probs"])
        if probs.ndim != 1 or probs.dtype.kind not in "fiu" or not (probs > 0).all() or not np.isclose(probs.sum(), 1):
            msg = f"`group_probs` must be positive numbers with sum 1, got {probs.tolist()}. Divide them by their sum."
            raise ValueError(msg)
        empty = np.flatnonzero(_sizes(arguments["n_obs"], probs) == 0)
        if empty.size:
            msg = f"`group_probs` leaves groups {empty.tolist()} without cells. Raise their share, or `n_obs`."
            raise ValueError(msg)


def _sizes(n_obs: int, probs: Sequence[float] | NDArray[np.float64]) -> NDArray[np.intp]:
    """Split `n_obs` cells by `probs`, each size exact up to one cell."""
    ends = np.cumsum(probs)
    ends /= ends[-1]  # rounded shares, such as 0.33333 three times, must not lose the last cells
    return np.diff(np.floor(ends * n_obs + 0.5), prepend=0).astype(np.intp)


def _random_labels(
    rng: np.random.Generator, n_obs: int, probs: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.intp]:
    return rng.permutation(np.repeat(np.arange(len(probs)), _sizes(n_obs, probs)))


def _factors(
    rng: np.random.Generator, shape: tuple[int, ...], prob: float, down_prob: float, loc: float, scale: float
) -> NDArray[np.float64]:
    """Draw factors: exp(±|z|) with probability `prob`, else 1; z ~ Normal(`loc`, `scale`)."""
    # the absolute value, as in Splatter: the sign is drawn apart
    logs = np.abs(rng.normal(loc, scale, shape)) * np.where(rng.random(shape) < down_prob, -1, 1)
    return np.exp(np.where(rng.random(shape) < prob, logs, 0))


def _categorical(labels: NDArray[np.intp]) -> "pd.Categorical[str]":
    return pd.Categorical.from_codes(labels, categories=pd.Index([str(k) for k in range(labels.max() + 1)]))
