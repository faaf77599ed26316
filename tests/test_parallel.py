import os
from functools import partial

import pytest
import torch

from scx._parallel import in_parallel


def environment(i):
    return i, os.getpid(), torch.get_num_threads()


def fail(i):
    raise ValueError(f"task {i}")


def test_results_are_in_order_with_one_thread_each():
    n_threads = torch.get_num_threads()
    found = in_parallel([partial(environment, i) for i in range(3)], None)
    assert found == [(i, os.getpid(), 1) for i in range(3)]
    assert torch.get_num_threads() == n_threads


@pytest.mark.slow
def test_processes():
    found = in_parallel([partial(environment, i) for i in range(4)], 2)
    assert [i for i, _, _ in found] == [0, 1, 2, 3]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {n_threads for _, _, n_threads in found} == {1}


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_the_error_of_a_task_is_raised(n_jobs):
    with pytest.raises(ValueError, match="task 1"):
        in_parallel([partial(fail, 1)], n_jobs)
