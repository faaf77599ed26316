"""How the functions of ``scx.datasets`` are called, and what their parameters do at the bounds of what they allow."""

from collections.abc import Callable
from typing import Any

import numpy as np

import scx
from robustness.table import Case, Made, Outcome, Target, accepts, refuses
from scx.datasets._simulate import LIMITS, MAX_OBS, MAX_VARS

N_CELLS, N_GENES = 40, 30


def same(done: Outcome) -> bool:
    """Whether the counts are those without the argument."""
    return np.array_equal(_values(done), _values(done.reference))


def other(done: Outcome) -> bool:
    return not same(done)


def _values(done: Outcome) -> np.ndarray:
    matrix = done.returned.X
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


def factors_are_one(name: str) -> Callable[[Outcome], Any]:
    """Whether all factors of the groups or batches are 1."""
    return lambda done: done.returned.var.filter(like=name).to_numpy() == 1


def limits(name: str, effect: Callable[[Outcome], Any], at: float, **others: Any) -> list[Case]:
    """Return cases of a number: its effect at a bound, and values beside the bounds."""
    least, largest = LIMITS[name]
    beyond = [value for value in (np.nextafter(least, -np.inf), np.nextafter(largest, np.inf)) if np.isfinite(value)]
    return [accepts(at, effect, **others), *(refuses(float(value), "between") for value in [*beyond, np.nan])]


RNG: list[Case] = [
    accepts(0, same),
    accepts(1, other),
    accepts(Made(lambda: np.random.default_rng(0)), same, label="generator"),
    refuses(-1, "at least 0"),
]

TARGETS: list[Target] = [
    Target("datasets.polynomial_manifold", scx.datasets.polynomial_manifold, dict, {"rng": RNG}),
    Target(
        "datasets.simulate",
        scx.datasets.simulate,
        lambda: {"n_obs": N_CELLS, "n_vars": N_GENES},
        {
            "n_obs": [
                accepts(1, lambda done: done.returned.n_obs == 1, n_groups=1),
                accepts(np.uint8(40), same),
                refuses(0, "between 1"),
                refuses(MAX_OBS + 1, "between 1"),
            ],
            "n_vars": [
                accepts(1, lambda done: done.returned.n_vars == 1),
                accepts(np.uint8(N_GENES), same),
                refuses(0, "between 1"),
                refuses(MAX_VARS + 1, "between 1"),
            ],
            "n_groups": [
                accepts(1, lambda done: done.returned.obs["group"].nunique() == 1),
                accepts(N_CELLS, lambda done: done.returned.obs["group"].nunique() == N_CELLS),
                refuses(0, "between 1"),
                refuses(N_CELLS + 1, "between 1"),
            ],
            "group_probs": [
                accepts([1.0], lambda done: done.returned.obs["group"].nunique() == 1),
                accepts([0.75, 0.25], lambda done: done.returned.obs["group"].value_counts().tolist() == [30, 10]),
                *(refuses(probs) for probs in ([0.5, 0.4], [1.5, -0.5], [np.nan, 1.0], [0.999, 0.001], [])),
            ],
            "mean_shape": limits("mean_shape", other, 100),
            "outlier_prob": limits("outlier_prob", other, 1),
            "outlier_loc": limits("outlier_loc", other, 2, outlier_prob=1),
            "outlier_scale": limits("outlier_scale", other, 0, outlier_prob=1),
            "library_loc": [
                *limits("library_loc", lambda done: _values(done) == 0, -20),
                refuses(18.0, "Lower `library_loc`"),
            ],
            "library_scale": limits("library_scale", lambda done: np.ptp(done.returned.obs["library_size"]) < 1e-6, 0),
            "de_prob": limits("de_prob", factors_are_one("de_factor"), 0),
            "de_down_prob": limits(
                "de_down_prob", lambda done: done.returned.var.filter(like="de_factor").to_numpy() <= 1, 1
            ),
            "de_loc": limits("de_loc", other, 20, de_scale=0),
            "de_scale": limits("de_scale", factors_are_one("de_factor"), 0, de_loc=0),
            "bcv_common": limits("bcv_common", other, 0),
            "bcv_df": limits("bcv_df", other, np.inf),
            "dropout_mid": limits("dropout_mid", lambda done: _values(done) == 0, 20, dropout_shape=-20),
            "dropout_shape": limits("dropout_shape", lambda done: _values(done).sum() > 0, 0, dropout_mid=0),
            "n_batches": [
                accepts(1, lambda done: done.returned.obs["batch"].nunique() == 1),
                accepts(N_CELLS, lambda done: done.returned.obs["batch"].nunique() == N_CELLS),
                refuses(0, "between 1"),
                refuses(N_CELLS + 1, "between 1"),
            ],
            "batch_loc": limits("batch_loc", factors_are_one("batch_factor"), 0, batch_scale=0, n_batches=2),
            "batch_scale": limits("batch_scale", factors_are_one("batch_factor"), 0, batch_loc=0, n_batches=2),
            "rng": RNG,
        },
    ),
]
