"""Seeds, and the global random state they would otherwise leave behind."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

import numpy as np

LOCK = threading.RLock()
"""Held wherever global state is used: generators, log levels, settings of torch. Threads take turns, processes run side by side."""


def exclusively[F: Callable](function: F) -> F:
    """Let one thread at a time run a function that uses global state."""

    @wraps(function)
    def alone(*args: Any, **kwargs: Any) -> Any:
        with LOCK:
            return function(*args, **kwargs)

    return cast("F", alone)


def spawn_seeds(rng: int | np.random.Generator, n: int) -> list[int]:
    """Draw `n` independent seeds: the same integer always gives the same seeds, a generator moves on."""
    return [int(seed) for seed in np.random.default_rng(rng).integers(2**31 - 1, size=n)]


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch (every device), and restore them on leaving; one thread at a time.

    torch's layers, samplers and dropout, and through them scvi-tools and Lightning, draw from global generators only;
    ``scvi.settings.seed`` would set them for the rest of the user's session.
    """
    import torch

    with LOCK, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        python_state = random.getstate()
        numpy_state = np.random.get_state()  # noqa: NPY002
        try:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
