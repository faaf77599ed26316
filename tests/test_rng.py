import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scx._rng import global_seed, spawn_seeds


def draw():
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


@given(seed=st.integers(0, 2**31))
def test_seeds_draws_inside_and_restores_outside(seed):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = draw()
    with global_seed(seed):
        inside = draw()
    with global_seed(seed):
        assert draw() == inside
    assert [first, draw()] == expected


def test_restores_after_an_error():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with pytest.raises(KeyError), global_seed(3):
        draw()
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_of_an_integer_are_fixed_and_those_of_a_generator_move_on():
    assert spawn_seeds(5, 3) == spawn_seeds(5, 3)
    assert spawn_seeds(5, 3) != spawn_seeds(6, 3)
    assert len(set(spawn_seeds(5, 3))) == 3
    generator = np.random.default_rng(5)
    assert spawn_seeds(generator, 3) == spawn_seeds(5, 3)
    assert spawn_seeds(generator, 3) != spawn_seeds(5, 3)
