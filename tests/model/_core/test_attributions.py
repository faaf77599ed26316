import numpy as np
import pytest
import torch

from scx._clustering.confidence import Chance, fit_confidence
from scx._clustering.rules import NearestCenter
from scx._clustering.types import Assignment, Clusters
from scx.model._core.attributions import clusters_as_groups


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(200, 5)) + 100).astype(np.float32)  # far from 0, where digits get lost


def test_probabilities_of_clusters_are_their_confidence(points):
    rule_labels = np.random.default_rng(1).integers(4, size=200)
    confidence = fit_confidence(points, rule_labels)
    assignment = Assignment(NearestCenter(points[:4]), confidence, np.array([1, 0, 2, 1]))  # the first and last joined
    groups = clusters_as_groups(Clusters(("a", "b", "c"), assignment))
    log_probabilities = groups.log_probabilities(torch.from_numpy(points)).numpy()
    posterior = np.stack([confidence.posterior(points, np.full(200, label)) for label in range(4)], axis=1)
    expected = np.stack([posterior[:, 1], posterior[:, 0] + posterior[:, 3], posterior[:, 2]], axis=1)
    np.testing.assert_allclose(np.exp(log_probabilities), expected, rtol=1e-4)
    np.testing.assert_array_equal(groups.assign(points), assignment.assign(points)[0])


def test_clusters_that_nothing_separates_are_refused(points):
    assignment = Assignment(NearestCenter(points[:1]), Chance(0.5), np.zeros(1, dtype=np.int64))
    with pytest.raises(ValueError, match="several clusters"):
        clusters_as_groups(Clusters(("0",), assignment))
