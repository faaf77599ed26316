"""Options that all methods of ``scx.tl`` share: type, default and documentation of each, once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from scx._compat import MASK_VAR_DEFAULT
from scx._docs import PARAGRAPHS, field_docs, filled, parameter_docs
from scx._types import typed


@dataclass(frozen=True)
class Default:
    """Default of an option."""

    value: Any


class FitOptions(TypedDict, total=False):
    """Options of every method, in the order of its signature."""

    layer: Annotated[str | None, Default(None)]
    """Layer with raw counts; None for ``X``."""
    batch_key: Annotated[str | None, Default(None)]
    """Column of ``obs`` with the batch of each cell: its sample, donor or protocol; None for no
    batches. Cells of one type then lie together, whatever their batch. Highly variable genes are
    ranked by the number of batches in which they vary, as in
    :func:`scanpy.pp.highly_variable_genes`."""
    mask_var: Annotated[NDArray[np.bool_] | str | None, Default(MASK_VAR_DEFAULT)]
    """Genes to use: a column of ``var`` or one True or False per gene; None for all. The default is
    ``var["highly_variable"]`` if there is one, else `n_top_genes` are selected. ``recipe="paper"``
    always selects."""
    n_top_genes: Annotated[int | None, Default(None)]
    """Number of highly variable genes to select, on a copy; None for the recipe's."""
    recipe: Annotated[str, Default("default")]
    """``"default"``: what we recommend. ``"paper"``: the published preprocessing, network, losses
    and schedule."""
    n_latent: Annotated[int | None, Default(None)]
    """Dimensions of the embedding; None for the recipe's."""
    max_epochs: Annotated[int | None, Default(None)]
    """Passes through the cells; None for the recipe's."""
    batch_size: Annotated[int | None, Default(None)]
    """Cells per training step; None for the recipe's."""
    cluster: Annotated[str | None, Default(None)]
    """Algorithm that clusters the embedding, as `method` of :func:`scx.tl.cluster`: ``"kmeans"``,
    ``"gmm"``, ``"ward"``, ``"spectral"`` or ``"leiden"``; None for the recipe's."""
    resolution: Annotated[float | None, Default(None)]
    """Resolution of Leiden, for ``cluster="leiden"`` without `n_clusters`; None for 1. Higher
    values give more clusters."""
    n_runs: Annotated[int, Default(1)]
    """Number of trainings from different seeds. Several are combined into the consensus of their
    clusters, see :func:`scx.tl.consensus`. Run time scales with `n_runs`."""
    key_added: str
    """Name under which results are written. Results of an earlier run under it are replaced; fields
    that scx did not write are never overwritten or deleted."""
    rng: Annotated[int | np.random.Generator, Default(0)]
    """Seed, or generator to draw seeds from. The same seed gives the same result on the same
    machine, bit by bit on a CPU with the same number of threads (``torch.set_num_threads``). The
    global random state is left as it was."""
    accelerator: Annotated[str, Default("auto")]
    """Kind of device to train on, as in :class:`lightning.pytorch.Trainer`."""
    devices: Annotated[int | list[int] | str, Default("auto")]
    """Which device to train on, as in :class:`lightning.pytorch.Trainer`."""
    model_dir: Annotated[str | Path | None, Default(None)]
    """New folder to save the trained model and its clusters in; ``~`` stands for your home.
    :func:`scx.model.load` loads it. With ``copy=True``, a failure to save is a warning, so that the
    copy is not lost."""
    model_kwargs: Annotated[dict[str, Any] | None, Default(None)]
    """Further arguments of the module, see the model."""
    train_kwargs: Annotated[dict[str, Any] | None, Default(None)]
    """Further arguments of the model's ``train``, and of :class:`scvi.train.Trainer`.
    ``{"snapshot_epochs": [1, 5, 20]}`` keeps the embedding after these epochs."""
    copy: Annotated[bool, Default(False)]
    """Return an annotated copy instead of writing to `adata`."""


def method_function[F: Callable[..., Any]](function: F) -> F:
    """Turn a function that takes ``**options: Unpack[FitOptions]`` into a method of ``scx.tl``.

    Its signature lists every option, so that ``help`` and editors show them. Its docstring is
    filled in. A call checks the types of all arguments, and passes on every option, default or not.
    """
    own = inspect.signature(function)
    parameters = [p for p in own.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    parameters += shared_parameters(key_added=function.__name__)
    # `inspect` and Sphinx read the first, tools that ask for type hints the second.
    function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": own.return_annotation}
    options = parameter_docs(field_docs(FitOptions))
    paragraphs = {**PARAGRAPHS, "options": options, "parameters": f"{PARAGRAPHS['data']}\n{options}"}
    function.__doc__ = filled(function.__doc__, paragraphs)
    return typed(function)


def shared_parameters(key_added: str) -> list[Parameter]:
    """Return the parameters of a signature that are :class:`FitOptions`."""
    parameters = []
    for name, hint in get_type_hints(FitOptions, include_extras=True).items():
        annotation, default = get_args(hint) if name != "key_added" else (hint, Default(key_added))
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default.value, annotation=annotation))
    return parameters


def fit_options(**changes: Any) -> FitOptions:
    """Return all options at their defaults, except for `changes`, which include ``key_added``."""
    defaults = {parameter.name: parameter.default for parameter in shared_parameters(changes["key_added"])}
    options: FitOptions = {**defaults, **changes}  # type: ignore[typeddict-item]
    return options
