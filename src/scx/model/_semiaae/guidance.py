"""What a few given types say of all cells: over the graph of neighbours, and by a linear classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

ALPHA = 0.9
"""Share of what a cell is told by its neighbours, against what it was given, at each step of spreading."""
N_STEPS = 30
"""Steps of spreading, after which 4 % of the way is left."""
INVERSE_PENALTY = 16.0
"""Of the linear classifier: the loss is the mean over labelled cells and half the squared weights over this number."""
FLOOR = 1e-4
"""Least probability that either guess gives a type, so that neither alone rules one out."""
N_FOLDS = 5
"""Parts into which labelled cells are split, each held back in turn."""
MIN_HELD_BACK = 20
"""Held-back cells without which nothing is calibrated."""
PRIOR_STRENGTH = 10.0
"""Weight of the squared distance of both exponents from 1/2, in units of the log-likelihood of one cell."""
N_BINS = 10
"""Bins of confidence in which calibration is reported."""
UNREACHED = 0.4
"""A cell is not reached by the labels if they reach it less than this part as well as can be expected."""
MAX_ROUNDS = 20
"""Rounds in which what can be expected is found; it settles in a few."""
MIN_EXPECTED = 3.0
"""Labels that a group of cells not reached must lack to be a new type: as many as are expected among as many cells."""


@dataclass(frozen=True)
class Guidance:
    """What the given types say of all cells.

    Parameters
    ----------
    target
        Probability of each known type, shape (n_cells, n_types).
    reach
        How well labels reach each cell over the graph, against what can be expected, see :func:`coverage`, shape (n_cells,).
    group
        New type of each cell, from the largest on; −1 for the cells of known types, shape (n_cells,).
    calibration
        How the probabilities were calibrated, for ``uns``.
    """

    target: NDArray[np.float32]
    reach: NDArray[np.float64]
    group: NDArray[np.int64]
    calibration: Mapping[str, Any]


def guide(
    neighbors: NDArray[np.int64], components: NDArray, codes: NDArray[np.int64], n_types: int, seed: int
) -> Guidance:
    r"""Estimate the type of every cell from the cells whose type is given.

    Two guesses are joined. Types are spread over the graph of neighbours, which is right wherever like cells lie together and
    forgives wrong labels; a linear classifier sees directions that neighbourhoods miss. With the probabilities
    :math:`s` and :math:`l`, the target is :math:`t_{ij} \propto s_{ij}^a\, l_{ij}^b`. The exponents make the types of
    held-back labelled cells most likely, each fifth of the labelled cells held back in turn; with few of them, they stay
    near 1/2. So the better guess counts more, and the probabilities are calibrated: :math:`1 / (a + b)` is a temperature.

    Parameters
    ----------
    neighbors
        Nearest neighbours of each cell, shape (n_cells, k).
    components
        Principal components, shape (n_cells, n_dims).
    codes
        Type of each cell, negative where it is not given, shape (n_cells,).
    n_types
        Number of types.
    seed
        Draws the fifths.
    """
    graph = transition_matrix(neighbors)
    arriving = spread(graph, one_hot(codes, n_types))
    own = np.stack(guesses(arriving, components, codes))
    held_back = []
    for fold in _folds(codes, n_types, seed):
        kept = np.where(fold, -1, codes)
        held_back.append((fold, *guesses(spread(graph, one_hot(kept, n_types)), components, kept)))
    pairs = [np.stack([told[fold], linear[fold]]) for fold, told, linear in held_back]
    truth = np.concatenate([codes[fold] for fold, _, _ in held_back]) if held_back else np.empty(0, dtype=np.int64)
    exponents, calibration = calibrate(np.concatenate(pairs, axis=1) if pairs else None, truth)
    target = _join(own, exponents)
    reach, rate = coverage(arriving, codes, target.argmax(axis=1))
    return Guidance(target.astype(np.float32), reach, unreached_groups(graph, reach, rate), calibration)


def transition_matrix(neighbors: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return the random walk on the graph in which cells are joined if either is a neighbour of the other."""
    n_cells, k = neighbors.shape
    ones = np.ones(n_cells * k)
    graph = sparse.csr_matrix((ones, neighbors.ravel(), np.arange(0, n_cells * k + 1, k)), (n_cells, n_cells))
    graph = graph.maximum(graph.T)
    return sparse.csr_matrix(sparse.diags_array(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph)


def spread(graph: sparse.csr_matrix, given: NDArray) -> NDArray:
    r"""Return :math:`(1 - \alpha) \sum_t \alpha^t W^t Y` for the walk W and what is given, Y, shape (n_cells, n): label spreading."""
    told = given
    for _ in range(N_STEPS):
        told = ALPHA * (graph @ told) + (1 - ALPHA) * given
    return told


def coverage(
    arriving: NDArray, codes: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return how well labels reach each cell, and how many of the cells like it are labelled, shape (n_cells,) each.

    A label counts for the cells it stands for. Where :math:`R_{ij}` reaches cell i from the other cells that are labelled j,
    and a share :math:`d_j` of the cells that are predicted to be of that type is labelled, but no more than of all cells, it
    is :math:`r_i = \sum_j R_{ij} / (\alpha d_j)`: about 1, or more near types of which more is labelled than of all cells.
    Cells that are not reached do not count in :math:`d_j`, since they may be of another type; as this changes which they
    are, it is found in rounds.

    Parameters
    ----------
    arriving
        Given types, spread over the graph, shape (n_cells, n_types).
    codes
        Type of each cell, negative where it is not given, shape (n_cells,).
    predicted
        Type that each cell is most likely of, shape (n_cells,).
    """
    labeled = codes >= 0
    n_types = arriving.shape[1]
    given = one_hot(codes, n_types)
    from_others = arriving - (1 - ALPHA) * given
    n_labeled = given.sum(axis=0)
    counted = np.ones(len(codes), dtype=bool)
    for _ in range(MAX_ROUNDS):
        n_cells = np.bincount(predicted[counted], minlength=n_types)
        share = np.where(n_labeled > 0, n_labeled / np.maximum(n_cells, 1), 1)
        rate = np.minimum(share, labeled.mean())
        reach = from_others @ (1 / rate) / ALPHA
        before, counted = counted, labeled | (reach >= UNREACHED)
        if (before == counted).all():
            break
    return reach, rate[predicted]


def guesses(arriving: NDArray, components: NDArray, codes: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Return the probability of each type by what arrives of it, and by the linear classifier, shape (n_cells, n_types) each."""
    from sklearn.linear_model import LogisticRegression

    labeled = np.flatnonzero(codes >= 0)
    linear = np.zeros_like(arriving)
    present = np.unique(codes[labeled])
    if len(present) > 1:
        classifier = LogisticRegression(C=INVERSE_PENALTY / len(labeled), max_iter=1000)
        linear[:, present] = classifier.fit(components[labeled], codes[labeled]).predict_proba(components)
    else:
        linear[:, present] = 1
    return _floored(arriving), _floored(linear)


def calibrate(guessed: NDArray | None, truth: NDArray[np.int64]) -> tuple[NDArray, dict[str, Any]]:
    """Find the exponents that make the types of held-back cells most likely.

    Parameters
    ----------
    guessed
        Both guesses for held-back cells, shape (2, n_cells, n_types); None where there are no such cells.
    truth
        Their given types, shape (n_cells,).

    Returns
    -------
    Both exponents, and what to tell of the calibration.
    """
    from scipy.optimize import minimize

    exponents = np.full(2, 0.5)
    if guessed is None or len(truth) < MIN_HELD_BACK:
        reason = (
            f"{len(truth)} labelled cells could be held back, fewer than {MIN_HELD_BACK}: both guesses count the same"
        )
        return exponents, {"temperature": 1.0, "spread_weight": 0.5, "reason": reason}
    cells = np.arange(len(truth))

    def loss(exponents: NDArray) -> float:
        likelihood = np.log(_join(guessed, exponents)[cells, truth]).sum()
        return PRIOR_STRENGTH * ((exponents - 0.5) ** 2).sum() - likelihood

    exponents = minimize(loss, exponents, bounds=[(0.01, 10)] * 2).x
    joined = _join(guessed, exponents)
    report = reliability(joined.max(axis=1), joined.argmax(axis=1) == truth)
    return exponents, {
        "temperature": 1 / exponents.sum(),
        "spread_weight": exponents[0] / exponents.sum(),
        "reason": f"on {len(truth)} labelled cells, held back a fifth at a time",
        **report,
    }


def reliability(confidence: NDArray, correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return mean confidence, accuracy and number of cells of each bin of confidence that has some, and the calibration error."""
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    n_cells = np.bincount(bins, minlength=N_BINS)
    kept = n_cells > 0
    means = [np.bincount(bins, values, N_BINS)[kept] / n_cells[kept] for values in (confidence, correct)]
    error = (np.abs(means[0] - means[1]) * n_cells[kept]).sum() / n_cells.sum()
    return {"confidence": means[0], "accuracy": means[1], "n_cells": n_cells[kept], "ece": float(error)}


def unreached_groups(graph: sparse.csr_matrix, reach: NDArray, rate: NDArray) -> NDArray[np.int64]:
    """Return the group of each cell, the largest first: connected cells that labels hardly reach, −1 for all others.

    A group is so large that labels would be expected in it if it had been labelled at the `rate` of the cells like it, shape
    (n_cells,).
    """
    from scipy.sparse.csgraph import connected_components

    cells = np.flatnonzero(reach < UNREACHED)
    group = np.full(len(reach), -1)
    if not len(cells):
        return group
    found = connected_components(graph[cells][:, cells], directed=False)[1]
    sizes, expected = np.bincount(found), np.bincount(found, rate[cells])
    order = np.argsort(-sizes, kind="stable")
    rank = np.full(len(sizes), -1)
    large = order[expected[order] >= MIN_EXPECTED]
    rank[large] = np.arange(len(large))
    group[cells] = rank[found]
    return group


def one_hot(codes: NDArray[np.int64], n_types: int) -> NDArray[np.float64]:
    """Return 1 in the column of each cell's type, shape (n_cells, n_types); a row of 0 where it is not given."""
    return (codes[:, None] == np.arange(n_types)).astype(np.float64)


def _join(guessed: NDArray, exponents: NDArray) -> NDArray:
    """Return the normalised product of powers of the guesses, shape (n_cells, n_types)."""
    from scipy.special import softmax

    return softmax(np.tensordot(exponents, np.log(guessed), axes=1), axis=1)


def _floored(proba: NDArray) -> NDArray:
    """Normalise rows, those without any mass to equal shares, with no entry below `FLOOR` but for rounding."""
    total = proba.sum(axis=1, keepdims=True)
    share = np.divide(proba, total, out=np.full_like(proba, 1 / proba.shape[1]), where=total > 1e-12)
    return (share + FLOOR) / (1 + FLOOR * proba.shape[1])


def _folds(codes: NDArray[np.int64], n_types: int, seed: int) -> list[NDArray[np.bool_]]:
    """Split labelled cells into fifths, types evenly; a type's only cell is never held back. Fifths without cells are left out."""
    rng = np.random.default_rng(seed)
    fold = np.full(len(codes), -1)
    for code in range(n_types):
        cells = rng.permutation(np.flatnonzero(codes == code))
        if len(cells) > 1:
            fold[cells] = (np.arange(len(cells)) + rng.integers(N_FOLDS)) % N_FOLDS
    return [fold == number for number in range(N_FOLDS) if (fold == number).any()]
