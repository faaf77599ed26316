"""Seeds, and global random state that is restored after use."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

import numpy as np

LOCK = threading.RLock()
"""Lock for global state: generators, log levels, torch settings. One thread at a time uses it."""


def exclusively[F: Callable[..., Any]](function: F) -> F:
    """Run a function that uses global state in one thread at a time."""

    @wraps(function)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with LOCK:
            return function(*args, **kwargs)

    return cast("F", locked)


def spawn_seeds(rng: int | np.random.Generator, n: int) -> list[int]:
    """Draw `n` independent seeds. An integer always gives the same seeds; a generator advances."""
    return [int(seed) for seed in np.random.default_rng(rng).integers(2**31 - 1, size=n)]


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch (all devices); restore them at the end.

    Layers, samplers and dropout of torch draw from global generators only, and so do scvi-tools and
    Lightning. ``scvi.settings.seed`` would seed them for the rest of the session. Only one thread
    at a time can be inside.
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
