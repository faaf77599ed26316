"""Tasks in parallel processes, each with one thread."""

from collections.abc import Callable, Sequence
from typing import Any


def in_parallel[T](tasks: Sequence[Callable[[], T]], n_jobs: int | None) -> list[T]:
    """Return the results of tasks, in their order.

    Every task runs with one thread, so that the results do not depend on the number of processes.
    joblib's processes need no ``if __name__ == "__main__"``, and stop with the session.

    Parameters
    ----------
    tasks
        Functions without arguments that can be pickled.
    n_jobs
        Number of processes as in joblib: None for one, unless a ``joblib.parallel_config`` says
        otherwise; −1 for one per core.
    """
    from joblib import Parallel, delayed

    results: list[T] = Parallel(n_jobs=n_jobs)(delayed(_with_one_thread)(task) for task in tasks)
    return results


def _with_one_thread(task: Callable[[], Any]) -> Any:
    import torch
    from threadpoolctl import threadpool_limits

    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with threadpool_limits(1):
            return task()
    finally:
        torch.set_num_threads(n_threads)
