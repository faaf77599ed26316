import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from scx._clustering import consensus as consensus_module
from scx._clustering.confidence import Chance, posterior
from scx._clustering.consensus import _settle, agreement, consensus, consensus_of_runs
from scx._clustering.rules import NearestCenter
from scx._clustering.types import Assignment, Partition, Prediction


def noisy(truth, share, rng):
    """Give a share of the cells another cluster at random."""
    labels = truth.copy()
    moved = rng.random(len(truth)) < share
    labels[moved] = rng.integers(0, truth.max() + 1, moved.sum())
    return labels


@pytest.fixture
def truth():
    return np.repeat(np.arange(5), [200, 120, 80, 60, 40])


def test_is_better_than_each(truth):
    rng = np.random.default_rng(0)
    labellings = [noisy(truth, 0.3, rng) for _ in range(7)]
    found = consensus(labellings, 5, 0)
    assert adjusted_rand_score(truth, found.labels) > 0.95
    assert max(adjusted_rand_score(truth, labels) for labels in labellings) < 0.75
    wrong = found.labels != truth  # both numbered by size
    assert found.agreement[wrong].mean() < found.agreement[~wrong].mean()


def test_most_labellings_have_each_cell_where_it_is(truth):
    """No cell would move: matched one to one with the consensus, no other of its clusters has more
    votes of the labellings.
    """
    rng = np.random.default_rng(3)
    labellings = [noisy(truth, 0.4, rng) for _ in range(5)]
    found = consensus(labellings, 5, 0).labels
    votes = np.zeros((len(truth), 5))
    for labels in labellings:
        _, partner = linear_sum_assignment(-contingency_matrix(labels, found))
        votes[np.arange(len(truth)), partner[labels]] += 1
    assert (votes[np.arange(len(truth)), found] == votes.max(axis=1)).all()


def test_labellings_with_different_numbers_of_clusters(truth):
    halved = np.where(np.arange(len(truth)) % 2, truth, truth + 5)  # each cluster in two
    merged = np.minimum(truth, 2)
    assert adjusted_rand_score(truth, consensus([truth, halved, merged, truth], 5, 0).labels) == 1


def test_starts_from_kmeans_on_the_indicator_of_all_cells(truth):
    rng = np.random.default_rng(1)
    labellings = [noisy(truth, 0.2, rng) for _ in range(4)]
    indicator = np.hstack([np.eye(5)[labels] for labels in labellings])
    reference = KMeans(5, n_init=10, random_state=0).fit(indicator)
    found = consensus(labellings, 5, 0)
    inertia = sum(
        ((indicator[found.labels == k] - indicator[found.labels == k].mean(axis=0)) ** 2).sum() for k in range(5)
    )
    assert inertia == pytest.approx(reference.inertia_, rel=0.02)


def test_a_weight_counts_as_that_many_labellings(truth):
    rng = np.random.default_rng(4)
    good, bad, other = noisy(truth, 0.1, rng), noisy(truth, 0.6, rng), noisy(truth, 0.4, rng)
    repeated = consensus([good, good, good, bad, other], 5, 0)
    weighted = consensus([good, bad, other], 5, 0, [0.3, 0.1, 0.1])
    assert np.array_equal(weighted.labels, repeated.labels)
    assert np.allclose(weighted.agreement, repeated.agreement)
    assert not np.array_equal(weighted.labels, consensus([good, bad, other], 5, 0).labels)


def test_of_equal_labellings_is_that_labelling(truth):
    found = consensus([truth, (truth + 2) % 5], None, 0)
    assert adjusted_rand_score(truth, found.labels) == 1
    assert (found.agreement == 1).all()
    assert found.info["n_clusters"] == {"chosen": 5, "reason": "median over the labellings"}


def test_more_clusters_than_distinct_patterns(truth):
    assert consensus([truth, truth], 8, 0).n_clusters == 5


@given(names=st.permutations(range(4)), order=st.randoms(use_true_random=False), seed=st.integers(0, 30))
def test_names_of_clusters_and_order_of_cells_do_not_matter(names, order, seed):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 15)
    labellings = [noisy(truth, 0.05, rng) for _ in range(3)]
    cells = list(range(60))
    order.shuffle(cells)
    first = consensus(labellings, 4, 0)
    second = consensus([np.array(names)[labels][cells] for labels in labellings], 4, 0)
    assert adjusted_rand_score(first.labels[cells], second.labels) > 0.9
    assert agreement(first.labels, labellings)[cells] == pytest.approx(
        agreement(first.labels[cells], [x[cells] for x in labellings])
    )


def test_agreement_counts_the_cells_put_together():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    labellings = [rng.integers(0, k, 40) for k in (2, 4)]
    labellings = [np.unique(codes, return_inverse=True)[1] for codes in labellings]
    for cell in (0, 7, 39):
        shares = [np.mean(labels[codes == codes[cell]] == labels[cell]) for codes in labellings]
        assert agreement(labels, labellings)[cell] == pytest.approx(np.mean(shares))


def test_says_how_far_each_labelling_agrees_and_seed_repeats(truth):
    rng = np.random.default_rng(5)
    labellings = [noisy(truth, share, rng) for share in (0.1, 0.6, 0.3)]
    found = consensus(labellings, 5, 0)
    assert found.info["cluster"] == "consensus"
    assert found.info["n_clusters"]["reason"] == "given"
    expected = [agreement(found.labels, [labels]).mean() for labels in labellings]
    np.testing.assert_allclose(found.info["agreement"], expected)
    assert found.info["agreement"].argsort().tolist() == [1, 2, 0]
    assert found.agreement.dtype == np.float32
    np.testing.assert_array_equal(consensus(labellings, 5, 0).labels, found.labels)


def test_two_of_three_labellings_move_cells_and_one_of_two_does_not():
    """The first two rows stand for most cells; the third begins in cluster 0, and 2 of 3
    labellings put it to 1.
    """
    rows = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 1]])
    n_cells = np.array([50, 50, 3])
    assert _settle(np.array([0, 1, 0]), rows, n_cells, np.ones(3)).tolist() == [0, 1, 1]
    for begin in (0, 1):
        assert _settle(np.array([0, 1, begin]), rows[:, :2], n_cells, np.ones(2)).tolist() == [0, 1, begin]


def run_of(truth, share, seed, **fields):
    """Return a run that separates the groups of `truth`, with a share of wrong labels, and its
    embedding.
    """
    rng = np.random.default_rng(seed)
    embedding = 8 * np.eye(6)[truth][:, rng.permutation(6)] + rng.normal(size=(len(truth), 6))
    return Partition(noisy(truth, share, rng), **fields), embedding


def test_the_run_that_agrees_most_is_chosen_and_its_embedding_assigns_new_points(truth):
    runs, embeddings = zip(*(run_of(truth, share, seed) for seed, share in enumerate((0.1, 0.02, 0.15))), strict=True)
    found, chosen = consensus_of_runs(runs, embeddings, 5, 0)
    assert chosen == 1
    np.testing.assert_array_equal(found.labels, consensus([run.labels for run in runs], 5, 0).labels)
    expected = np.mean([posterior(embedding, found.labels) for embedding in embeddings], axis=0)
    np.testing.assert_array_equal(found.confidence, expected)
    labels, confidence = found.assignment.assign(embeddings[1])
    assert (labels == found.labels).mean() > 0.97
    same = labels == found.labels
    np.testing.assert_allclose(confidence[same], posterior(embeddings[1], found.labels)[same], rtol=1e-6)
    again = consensus_of_runs(runs, embeddings, 5, 0)[0]
    np.testing.assert_array_equal(again.assignment.rule.points, found.assignment.rule.points)


def test_a_large_consensus_keeps_a_sample_to_vote(truth, monkeypatch):
    monkeypatch.setattr(consensus_module, "MAX_VOTERS", 200)
    runs, embeddings = zip(*(run_of(truth, 0.1, seed) for seed in range(2)), strict=True)
    found, chosen = consensus_of_runs(runs, embeddings, 5, 0)
    assert found.assignment.rule.points.shape == (200, 6)
    assert (found.assignment.assign(embeddings[chosen])[0] == found.labels).mean() > 0.9


def test_a_single_run_is_its_own_consensus(truth):
    run, embedding = run_of(truth, 0.1, 0)
    found, chosen = consensus_of_runs([run], [embedding], 3, 0)
    assert found is run
    assert chosen == 0


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [("types", ("a", "b", "c")), ("gmm", ("a", "b (1)", "b (2)", "c (1)", "c (2)"))],
)
def test_names_prediction_and_confidence_are_those_of_the_chosen_run(truth, monkeypatch, algorithm, names):
    """Clusters of one name are joined if they are types, and numbered if not."""
    number = {"chosen": 5, "reason": "given"}
    found = Partition(truth, info={"cluster": "consensus", "agreement": np.array([0.2, 0.9]), "n_clusters": number})
    monkeypatch.setattr(consensus_module, "consensus", lambda labellings, n_clusters, seed: found)
    types = np.array([0, 1, 1, 2, 2])[truth]
    proba = np.eye(3, dtype=np.float32)[types]
    runs = [
        Partition(
            types,
            names=("a", "b", "c"),
            confidence=np.full(len(truth), confidence, dtype=np.float32),
            prediction=Prediction(("a", "b", "c"), confidence * proba),
            info={"cluster": algorithm},
            assignment=Assignment(NearestCenter(np.eye(5)[:3]), Chance(confidence), np.arange(3)),
        )
        for confidence in (0.5, 0.75)
    ]
    embeddings = [np.eye(5)[truth]] * 2
    named, chosen = consensus_of_runs(runs, embeddings, None, 0)
    assert chosen == 1
    assert named.names == names
    np.testing.assert_array_equal(named.labels, types if algorithm == "types" else truth)
    assert named.prediction is runs[1].prediction
    assert named.confidence is runs[1].confidence
    labels, confidence = named.assignment.assign(embeddings[1])
    np.testing.assert_array_equal(labels, named.labels)
    assert (confidence == 0.75).all()
