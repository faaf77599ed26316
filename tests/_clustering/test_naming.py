import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scx._clustering.naming import named_after, ordered_by_size
from scx._clustering.types import Partition


@given(labels=st.lists(st.integers(-3, 5), min_size=1, max_size=60))
def test_clusters_are_numbered_by_size(labels):
    ordered = ordered_by_size(np.array(labels))
    sizes = np.bincount(ordered)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert len(set(zip(labels, ordered.tolist(), strict=True))) == len(set(labels)) == len(sizes)


def test_clusters_of_one_name_are_joined_or_told_apart():
    """Clusters 0, 1 and 3 are mostly of type b, 2 has no vote; a type that is called like a
    numbered one keeps its name.
    """
    labels = np.repeat([0, 1, 2, 3, 4], [9, 7, 5, 4, 3])
    voters = np.repeat([1, 1, -1, 1, 2], [9, 7, 5, 4, 3])
    voters[0] = 0
    found = Partition(labels, info={"n_clusters": {"chosen": 5, "reason": "given"}})
    names = ("a", "b", "b (1)")
    apart = named_after(found, voters, names, join=False)
    assert apart.names == ("b (2)", "b (3)", "b (4)", "b (1)", "new_1")
    assert np.array_equal(apart.labels, np.repeat([0, 1, 4, 2, 3], [9, 7, 5, 4, 3]))
    assert apart.info == found.info
    joined = named_after(found, voters, names, join=True)
    assert joined.names == ("b", "b (1)", "new_1")
    assert np.array_equal(joined.labels, np.repeat([0, 0, 2, 0, 1], [9, 7, 5, 4, 3]))
    assert joined.info["n_clusters"]["chosen"] == 3


def test_clusters_without_a_vote_are_new_types():
    labels = np.repeat([0, 1, 2, 3, 4], [6, 5, 4, 3, 2])
    voters = np.repeat([0, 0, -1, -1, 1], [6, 5, 4, 3, 2])
    found = Partition(labels, info={"n_clusters": {"chosen": 5, "reason": "given"}})
    joined = named_after(found, voters, ("a", "b"), join=True)
    assert joined.names == ("a", "b", "new_1", "new_2")
    assert np.array_equal(joined.labels, np.repeat([0, 0, 2, 3, 1], [6, 5, 4, 3, 2]))
    assert joined.info["n_clusters"]["reason"] == "given; 4 after those of one name were joined"
    apart = named_after(found, voters, ("a", "b"), join=False)
    assert apart.names == ("a (1)", "a (2)", "b", "new_1", "new_2")
    assert np.array_equal(apart.labels, np.repeat([0, 1, 3, 4, 2], [6, 5, 4, 3, 2]))
    each = named_after(found, labels, ("a", "b", "c", "d", "e"), join=True)
    assert each.info == found.info
    assert named_after(found, np.full(20, -1), (), join=True).names == tuple(f"new_{i}" for i in range(1, 6))
