"""A trained model as a folder of plain files. Nothing in it is run when it is read.

=====================  =====================================================================
file                   content
=====================  =====================================================================
``model.json``         class, configuration, preparation and reference, without their arrays
``arrays.npz``         these arrays: names of genes, rules of clusters, reference cells
``weights.safetensors``  weights and statistics of the network
``manifest.json``      format version, versions of packages, SHA-256 of every file, itself too
=====================  =====================================================================
"""

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_as_bytes
from torch import Tensor

from scx._clustering import components
from scx._clustering.components import Components
from scx._clustering.reference import STORED, Reference
from scx._methods import METHODS
from scx._pack import Arrays, pack, unpack
from scx._rng import global_seed
from scx._types import typed

from .ensemble import Ensemble
from .preparation import Preparation

if TYPE_CHECKING:
    from .model import DeepClusteringModel
    from .setup import ModelSetup

FORMAT = "scx model"
FORMAT_VERSION = 2
"""Version of the format. Older versions are read for ever; newer ones are refused."""
MANIFEST = "manifest.json"
MODEL = "model.json"
ARRAYS = "arrays.npz"
WEIGHTS = "weights.safetensors"
PACKAGES = ("anndata", "numpy", "safetensors", "scanpy", "scvi-tools", "scx-tools", "torch")
"""Packages whose versions the manifest lists."""
PASS = "Pass the path of a folder that `model_dir` or `model.save` wrote."


@dataclass(frozen=True)
class SavedModel:
    """What is saved of a model, besides its weights."""

    model: str
    """Name of its class in ``scx.model``."""
    recipe: str
    arguments: Mapping[str, Any]
    """Its other arguments: the configuration of the module, and what the class adds."""
    registry: Mapping[str, Any]
    """Registry of scvi-tools, without the names of the genes, which the preparation has."""
    is_trained: bool
    batch_size: int | None
    """Cells per step of training; None if it was not trained."""
    history: Mapping[str, Mapping[str, NDArray[Any]]]
    """``epoch`` and ``value`` of each loss, shape (n_epochs,)."""
    preparation: Preparation
    reference: Reference | None
    """What new cells are compared with; None if the cells of training were not clustered."""


def save(model: "ModelSetup | Ensemble", folder: Path, *, overwrite: bool) -> None:
    """Write a model to a folder, all of it or nothing.

    Raise ValueError if there is a folder already, unless it may be overwritten.
    """
    if folder.exists() and not overwrite:
        msg = f"{str(folder)!r} exists already. Pass another folder, or `overwrite=True`."
        raise ValueError(msg)
    files = as_files(model)
    files[MANIFEST] = _manifest(type(model).__name__, files)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A folder beside it is renamed when all is written: nobody sees half a model.
    with TemporaryDirectory(prefix=".scx-", dir=folder.parent) as temporary:
        new = Path(temporary, "model")
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
        if overwrite and folder.exists():
            folder.rename(Path(temporary, "before"))
        new.rename(folder)


@typed
def load(path: str | Path) -> "DeepClusteringModel | Ensemble":
    """Load a model from the folder that `model_dir` of a method, or `save` of a model, wrote.

    The model needs no data: it takes new cells with ``get_latent_representation(adata)``. The
    folder holds JSON, numpy arrays and tensors; nothing in it is run.

    Parameters
    ----------
    path
        The folder; ``~`` stands for your home.

    Returns
    -------
    The trained model, of the class that was saved, such as :class:`scx.model.Contrastive`. It is on
    the CPU; ``model.to_device("cuda:0")`` moves it. The folder of :func:`scx.tl.ensemble` holds
    several models; what it gives is for :func:`scx.tl.map_query` only.

    Raises
    ------
    ValueError
        If the folder holds no model, one of a newer format, or files that are missing or not as
        they were written. All files are compared with their SHA-256 before they are read.

    Examples
    --------
    >>> import scx, tempfile
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> folder = f"{tempfile.mkdtemp()}/contrastive_model"
    >>> scx.tl.contrastive(adata, n_clusters=10, model_dir=folder)
    >>> model = scx.model.load(folder)
    >>> model.get_latent_representation(adata[:3].copy()).shape
    (3, 80)
    """
    folder = Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser fails without a home
    files = _checked_files(folder)
    try:
        return from_files(files)
    except Exception as error:
        msg = (
            f"{str(folder)!r} does not hold a model that this version of scx can make: {error} Train and save it again."
        )
        raise ValueError(msg) from error


def as_files(model: "ModelSetup | Ensemble") -> dict[str, bytes]:
    """Return the content of each file but the manifest."""
    arrays: Arrays = {}
    plain = pack(_saved(model), arrays, "model")
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return {MODEL: _json(plain), ARRAYS: buffer.getvalue(), WEIGHTS: tensors_as_bytes(_weights(model))}


def _weights(model: "ModelSetup | Ensemble") -> dict[str, Tensor]:
    """Return the weights by name; those of a member of an ensemble start with its name."""
    if isinstance(model, Ensemble):
        return {
            f"{name}/{weight}": tensor
            for name, member in model.models.items()
            for weight, tensor in _weights(member).items()
        }
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}


def _saved(model: "ModelSetup | Ensemble") -> "SavedModel | Ensemble":
    if isinstance(model, Ensemble):
        members = {name: _saved(member) for name, member in model.models.items()}
        return replace(model, members={**model.members, **members})
    history = {
        name: {"epoch": curve.index.to_numpy(dtype=np.int64), "value": curve[name].to_numpy(dtype=np.float64)}
        for name, curve in (model.history or {}).items()
    }
    return SavedModel(
        type(model).__name__,
        model.recipe_,
        model.saved_arguments(),
        _without_genes(model.registry_),
        model.is_trained,
        getattr(model, "batch_size_", None),
        history,
        model.preparation_,
        model.reference_,
    )


def _without_genes(registry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a registry of scvi-tools that lacks the names of the genes."""
    return {
        name: _without_genes(entry) if isinstance(entry, Mapping) else entry
        for name, entry in registry.items()
        if name != "column_names"
    }


def from_files(files: Mapping[str, bytes]) -> "DeepClusteringModel | Ensemble":
    """Return the model that :func:`as_files` was given."""
    return _made(_unpacked(files), read_tensors(files[WEIGHTS]))


def _unpacked(files: Mapping[str, bytes]) -> SavedModel | Ensemble:
    plain = json.loads(files[MODEL])
    if plain["class"] == Ensemble.__name__:
        own: tuple[type, ...] = (Ensemble, *components.STORED)
    else:
        own = _model_cls(plain["fields"]["model"]).stored_classes
    with np.load(BytesIO(files[ARRAYS]), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    saved = unpack(plain, arrays, (SavedModel, Preparation, *STORED, *own))
    if not isinstance(saved, SavedModel | Ensemble):
        msg = f"{MODEL} holds no model."
        raise TypeError(msg)
    return saved


def _model_cls(name: Any) -> "type[DeepClusteringModel]":
    for method in METHODS.values():
        if method.model == name:
            return method.model_cls
    msg = f"its class, {name!r}, is none of {', '.join(method.model for method in METHODS.values())}."
    raise ValueError(msg)


def _made(saved: SavedModel | Ensemble, weights: Mapping[str, Tensor]) -> "DeepClusteringModel | Ensemble":
    if isinstance(saved, Ensemble):
        return replace(saved, members={name: _member(member, name, weights) for name, member in saved.members.items()})
    return _made_model(saved, weights)


def _member(member: Any, name: str, weights: Mapping[str, Tensor]) -> "Components | DeepClusteringModel":
    if isinstance(member, Components):
        return member
    start = f"{name}/"
    own = {weight.removeprefix(start): tensor for weight, tensor in weights.items() if weight.startswith(start)}
    return _made_model(member, own)


def _made_model(saved: SavedModel, weights: Mapping[str, Tensor]) -> "DeepClusteringModel":
    registry = dict(saved.registry)
    registry["field_registries"]["X"]["state_registry"]["column_names"] = saved.preparation.genes
    model_cls = _model_cls(saved.model)
    # A field with a default was added later; models that were saved before have this value.
    defaults = {
        field.name: field.default
        for field in fields(model_cls.recipes["default"].module)
        if field.default is not MISSING
    }
    with global_seed(0):  # its first weights are drawn; they are replaced
        model = model_cls(None, registry, recipe=saved.recipe, **{**defaults, **saved.arguments})
    model.preparation_ = saved.preparation
    model.reference_ = saved.reference
    model.is_trained_ = saved.is_trained
    if saved.batch_size is not None:
        model.batch_size_ = saved.batch_size
    model.history_ = {
        name: pd.DataFrame({name: curve["value"]}, index=pd.Index(curve["epoch"], name="epoch"))
        for name, curve in saved.history.items()
    }
    model.module.load_state_dict(weights)
    model.module.eval()
    return model


def _json(plain: Any) -> bytes:
    return (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode()


def _manifest(model: str, files: Mapping[str, bytes]) -> bytes:
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": model,
        "packages": {name: version(name) for name in PACKAGES},
        "files": {name: sha256(content).hexdigest() for name, content in files.items()},
    }
    return _json(content | {"sha256": sha256(_json(content)).hexdigest()})


def _checked_files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file but the manifest; raise unless all are as they were written.

    Nothing but the manifest is parsed before its content was compared with what was written.
    """
    manifest = _read(folder, MANIFEST)
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        raise _broken(folder, MANIFEST) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        msg = f"{str(folder)!r} holds no model of scx: its {MANIFEST} is of another program. {PASS}"
        raise ValueError(msg)
    format_version = content.get("format_version")
    if isinstance(format_version, int) and format_version > FORMAT_VERSION:
        msg = (
            f"The model in {str(folder)!r} has format {format_version}, and this version of scx reads formats up to "
            f"{FORMAT_VERSION}. Update scx."
        )
        raise ValueError(msg)
    own = content.pop("sha256", None)
    # The second part is true only for the very text that was written.
    if own != sha256(_json(content)).hexdigest() or _json(content | {"sha256": own}) != manifest:
        raise _broken(folder, MANIFEST)
    listed = content.get("files")
    files = {name: _read(folder, name) for name in (MODEL, ARRAYS, WEIGHTS)}
    for name, data in files.items():
        if not isinstance(listed, dict) or listed.get(name) != sha256(data).hexdigest():
            raise _broken(folder, name)
    return files


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be
        if not folder.is_dir():
            why = "it is not a folder" if folder.exists() else "there is no such folder"
        elif name == MANIFEST and (folder / "model.pt").exists():
            why = "its format is that of scvi-tools, which runs code from the file"
        else:
            why = f"{name} is missing" if not (folder / name).exists() else f"{name} cannot be read ({error})"
        msg = f"{str(folder)!r} holds no model of scx: {why}. {PASS}"
        raise ValueError(msg) from None


def _broken(folder: Path, name: str) -> ValueError:
    return ValueError(
        f"{name} in {str(folder)!r} is not as it was written: it is broken or was changed. "
        "Copy the folder again from where it came, or train and save the model again."
    )
