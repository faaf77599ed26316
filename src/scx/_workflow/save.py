"""Save the trained model."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scx.model._core.model import DeepClusteringModel


def save(model: "DeepClusteringModel", folder: Path, record: dict[str, Any], copy: bool) -> None:
    """Save a model whole or not at all, after the results are written.

    A failure is an error, or a warning if a copy is to be returned, which an error would lose.
    """
    from scx.model._core.session import quiet

    try:
        with TemporaryDirectory(prefix=".scx-", dir=folder.parent) as aside, quiet():
            model.save(f"{aside}/model")
            Path(aside, "model").rename(folder)
    except BaseException as error:
        del record["params"]["model_dir"]
        if not isinstance(error, Exception):
            raise
        msg = (
            f"The results are written, but the model could not be saved in {str(folder)!r}: {error} "
            "To have the model, run the same call again with another `model_dir`; the same `rng` gives the same model."
        )
        if not copy:
            raise OSError(msg) from error
        warnings.warn(msg, UserWarning, stacklevel=5)
