"""Types of all cells, estimated from the labels of some.

Two estimates are combined: labels spread over the graph of neighbours, and a linear classifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

ALPHA = 0.9
"""Weight of the neighbours, against the label of the cell itself, at each step of spreading."""
N_STEPS = 30
"""Steps of spreading. The remaining steps would add 4 %."""
INVERSE_PENALTY = 16.0
"""The classifier's loss is the mean over labelled cells plus half the squared weights over this."""
FLOOR = 1e-4
"""Least probability of a type in either estimate: neither alone rules a type out."""
N_FOLDS = 5
"""Parts of the labelled cells; each is held back in turn."""
MIN_HELD_BACK = 20
"""Least number of held-back cells for a calibration."""
PRIOR_STRENGTH = 10.0
"""Penalty on the squared distance of both exponents from 1/2, against the log-likelihood."""
N_BINS = 10
"""Bins of confidence in which calibration is reported."""
UNREACHED = 0.4
"""Labels do not reach a cell if its reach is below this share of the expected one."""
MAX_ROUNDS = 20
"""Most rounds to find the expected reach; a few are usually enough."""
MIN_EXPECTED = 3.0
"""An unreached group is a new type if at least this many labels were expected in it."""


type Floats = NDArray[np.float64]
type Codes = NDArray[np.int64]
"""Type of each cell, negative if it is unlabelled."""


@dataclass(frozen=True)
class Guidance:
    """Estimates for all cells."""

    target: NDArray[np.float32]
    """Probability of each known type, shape (n_cells, n_types)."""
    reach: Floats
    """How well labels reach each cell over the graph, relative to the expectation, see
    :func:`coverage`, shape (n_cells,)."""
    group: Codes
    """New type of each cell, 0 for the largest; −1 for cells of known types, shape (n_cells,)."""
    calibration: Mapping[str, Any]
    """How the probabilities were calibrated, for ``uns``."""


def guide(
    neighbors: NDArray[np.int64], components: NDArray[np.floating], codes: Codes, n_types: int, seed: int
) -> Guidance:
    r"""Estimate the type of every cell from the labelled cells.

    Two estimates are combined. Label spreading over the graph of neighbours is right where similar
    cells lie together, and tolerates wrong labels. A linear classifier sees directions that
    neighbourhoods miss. With their probabilities :math:`s` and :math:`l`, the target is
    :math:`t_{ij} \propto s_{ij}^a\, l_{ij}^b`. The exponents maximise the likelihood of the labels
    of held-back cells; each fifth of the labelled cells is held back in turn. With few labelled
    cells the exponents stay near 1/2. The better estimate thus counts more, and the probabilities
    are calibrated: :math:`1 / (a + b)` is a temperature.

    Parameters
    ----------
    neighbors
        Nearest neighbours of each cell, shape (n_cells, k).
    components
        Principal components, shape (n_cells, n_dims).
    codes
        Type of each cell, negative if it is unlabelled, shape (n_cells,).
    n_types
        Number of types.
    seed
        Draws the fifths.
    """
    graph = transition_matrix(neighbors)
    arriving = spread(graph, one_hot(codes, n_types))
    held_back, truth = [], [np.empty(0, dtype=np.int64)]
    for fold in _folds(codes, n_types, seed):
        kept = np.where(fold, -1, codes)
        estimated = estimates(spread(graph, one_hot(kept, n_types)), components, kept)
        held_back.append(estimated[:, fold])
        truth.append(codes[fold])
    exponents, calibration = calibrate(np.concatenate(held_back, axis=1) if held_back else None, np.concatenate(truth))
    target = _combined(estimates(arriving, components, codes), exponents)
    reach, rate = coverage(arriving, codes, target.argmax(axis=1))
    return Guidance(target.astype(np.float32), reach, unreached_groups(graph, reach, rate), calibration)


def transition_matrix(neighbors: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return the random walk on the graph that joins cells if one is a neighbour of the other."""
    n_cells, k = neighbors.shape
    ones = np.ones(n_cells * k)
    graph = sparse.csr_matrix((ones, neighbors.ravel(), np.arange(0, n_cells * k + 1, k)), (n_cells, n_cells))
    graph = graph.maximum(graph.T)
    return sparse.csr_matrix(sparse.diags_array(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph)


def spread(graph: sparse.csr_matrix, labels: Floats) -> Floats:
    r"""Spread labels: :math:`(1 - \alpha) \sum_t \alpha^t W^t Y` for the walk W and labels Y.

    Both Y and the result have shape (n_cells, n_types).
    """
    arriving = labels
    for _ in range(N_STEPS):
        arriving = ALPHA * (graph @ arriving) + (1 - ALPHA) * labels
    return arriving


def coverage(arriving: Floats, codes: Codes, predicted: Codes) -> tuple[Floats, Floats]:
    r"""Return how well labels reach each cell, and the labelled share of the cells of its type.

    Both have shape (n_cells,). A label stands for several cells. Let :math:`R_{ij}` be what reaches
    cell i from other cells labelled j, and :math:`d_j` the labelled share of the cells that are
    predicted to be of type j, at most the labelled share of all cells. The reach is
    :math:`r_i = \sum_j R_{ij} / (\alpha d_j)`: about 1, and more near types with more labels than
    average. Unreached cells do not count in :math:`d_j`, since they may be of another type. Which
    cells these are depends on the reach, so both are found in rounds.

    Parameters
    ----------
    arriving
        Labels, spread over the graph, shape (n_cells, n_types).
    codes
        Type of each cell, negative if it is unlabelled, shape (n_cells,).
    predicted
        Most probable type of each cell, shape (n_cells,).
    """
    labeled = codes >= 0
    n_types = arriving.shape[1]
    labels = one_hot(codes, n_types)
    from_others = arriving - (1 - ALPHA) * labels
    n_labeled = labels.sum(axis=0)
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


def estimates(arriving: Floats, components: NDArray[np.floating], codes: Codes) -> Floats:
    """Return the probability of each type by spreading and by a linear classifier.

    The shape is (2, n_cells, n_types).
    """
    from sklearn.linear_model import LogisticRegression

    labeled = np.flatnonzero(codes >= 0)
    linear = np.zeros_like(arriving)
    present = np.unique(codes[labeled])
    if len(present) > 1:
        classifier = LogisticRegression(C=INVERSE_PENALTY / len(labeled), max_iter=1000)
        linear[:, present] = classifier.fit(components[labeled], codes[labeled]).predict_proba(components)
    else:
        linear[:, present] = 1
    return np.stack([_floored(arriving), _floored(linear)])


def calibrate(estimated: Floats | None, truth: Codes) -> tuple[Floats, dict[str, Any]]:
    """Find the exponents that maximise the likelihood of the labels of held-back cells.

    Parameters
    ----------
    estimated
        Both estimates for held-back cells, shape (2, n_cells, n_types); None if no cells are held
        back.
    truth
        Their labels, shape (n_cells,).

    Returns
    -------
    Both exponents, and the report of the calibration.
    """
    from scipy.optimize import minimize

    exponents = np.full(2, 0.5)
    if estimated is None or len(truth) < MIN_HELD_BACK:
        reason = (
            f"{len(truth)} labelled cells could be held back, fewer than {MIN_HELD_BACK}: both guesses count the same"
        )
        return exponents, {"temperature": 1.0, "spread_weight": 0.5, "reason": reason}
    cells = np.arange(len(truth))

    def loss(exponents: Floats) -> float:
        likelihood = np.log(_combined(estimated, exponents)[cells, truth]).sum()
        return float(PRIOR_STRENGTH * ((exponents - 0.5) ** 2).sum() - likelihood)

    exponents = minimize(loss, exponents, bounds=[(0.01, 10)] * 2).x
    proba = _combined(estimated, exponents)
    report = reliability(proba.max(axis=1), proba.argmax(axis=1) == truth)
    return exponents, {
        "temperature": 1 / exponents.sum(),
        "spread_weight": exponents[0] / exponents.sum(),
        "reason": f"on {len(truth)} labelled cells, held back a fifth at a time",
        **report,
    }


def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return confidence, accuracy and number of cells by bins of confidence, and the error.

    Bins without cells are left out. The error is the expected calibration error.
    """
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    n_cells = np.bincount(bins, minlength=N_BINS)
    kept = n_cells > 0
    means = [np.bincount(bins, values, N_BINS)[kept] / n_cells[kept] for values in (confidence, correct)]
    error = (np.abs(means[0] - means[1]) * n_cells[kept]).sum() / n_cells.sum()
    return {"confidence": means[0], "accuracy": means[1], "n_cells": n_cells[kept], "ece": float(error)}


def unreached_groups(graph: sparse.csr_matrix, reach: Floats, rate: Floats) -> Codes:
    """Return the group of each cell: connected cells that labels hardly reach, −1 for all others.

    Group 0 is the largest. Groups are so large that labels would be expected in them at the
    `rate` at which cells of their predicted type are labelled, shape (n_cells,).
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


def one_hot(codes: Codes, n_types: int) -> Floats:
    """Return 1 in the column of each cell's type, shape (n_cells, n_types).

    Unlabelled cells have a row of 0.
    """
    labels: Floats = (codes[:, None] == np.arange(n_types)).astype(np.float64)
    return labels


def _combined(estimated: Floats, exponents: Floats) -> Floats:
    """Return the normalised product of powers of the estimates, shape (n_cells, n_types)."""
    from scipy.special import softmax

    proba: Floats = softmax(np.tensordot(exponents, np.log(estimated), axes=1), axis=1)
    return proba


def _floored(proba: Floats) -> Floats:
    """Normalise rows, and raise entries to about `FLOOR`; rows without any mass become uniform."""
    total = proba.sum(axis=1, keepdims=True)
    share: Floats = np.divide(proba, total, out=np.full_like(proba, 1 / proba.shape[1]), where=total > 1e-12)
    floored: Floats = (share + FLOOR) / (1 + FLOOR * proba.shape[1])
    return floored


def _folds(codes: Codes, n_types: int, seed: int) -> list[NDArray[np.bool_]]:
    """Split labelled cells into fifths, types evenly.

    A type's only cell is never held back. Fifths without cells are left out.
    """
    rng = np.random.default_rng(seed)
    fold = np.full(len(codes), -1)
    for code in range(n_types):
        cells = rng.permutation(np.flatnonzero(codes == code))
        if len(cells) > 1:
            fold[cells] = (np.arange(len(cells)) + rng.integers(N_FOLDS)) % N_FOLDS
    return [fold == number for number in range(N_FOLDS) if (fold == number).any()]
