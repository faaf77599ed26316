"""Save the trained model, after the results are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scx._checks import warn


def save(write: Callable[[Path], None], folder: Path, record: dict[str, Any], copy: bool) -> None:
    """Save a model by the function `write`.

    A failure raises an error. With `copy` it only warns, because an error would lose the copy.
    """
    try:
        write(folder)
    except BaseException as error:
        del record["params"]["model_dir"]
        if not isinstance(error, Exception):
            raise
        msg = (
            f"The results are written, but the model could not be saved in {str(folder)!r}: {error} "
            "To get the model, run the same call again with another `model_dir`; the same `rng` gives the same model."
        )
        if not copy:
            raise OSError(msg) from error
        warn(msg)
