"""Step 1: check the user's AnnData and arguments, and return the input of the later steps."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from scx import _anndata, _checks
from scx._clustering.algorithms import ALGORITHMS
from scx._clustering.n_clusters import NClusters
from scx._config import Positive, check_option
from scx._matrix import read_counts
from scx._methods import Method
from scx._workflow.counts import check_counts
from scx._workflow.keys import Field, Keys
from scx._workflow.obs_fields import READERS, ObsField, read_batches
from scx._workflow.options import FitOptions
from scx._workflow.prepare import resolve_mask_var

if TYPE_CHECKING:
    from scx.model._core.ensemble import Ensemble
    from scx.model._core.model import DeepClusteringModel
    from scx.model._core.recipe import Recipe

MAX_NAME_BYTES = 255
"""Maximal length of a file name; zarr stores each field in a file or folder of its name."""


@dataclass(frozen=True)
class Target:
    """Where results are written."""

    adata: AnnData
    keys: Keys
    copy: bool


@dataclass(frozen=True)
class Request:
    """A checked call of a method.

    Parameters
    ----------
    target
        Where results are written.
    model_cls
        Class of the model.
    recipe
        Recipe; it has the settings that are not among the options.
    options
        Options as passed, see :class:`~scx._workflow.options.FitOptions`.
    n_clusters, algorithm, resolution
        How embeddings are clustered, as in :func:`scx._clustering.fit.fit_partition`.
    module_kwargs
        Arguments of the module that differ from the recipe's.
    batches
        Batch of each cell as categories of text, named like its column; None for no batches.
    obs_fields
        Further fields of ``obs`` that the model reads.
    model_dir
        Folder to save the model in, or None.
    mask
        Genes to use; None selects by variability.
    counts
        Raw counts, cells × genes.
    """

    target: Target
    model_cls: "type[DeepClusteringModel]"
    recipe: "Recipe"
    options: FitOptions
    n_clusters: NClusters
    algorithm: str
    resolution: float | None
    module_kwargs: Mapping[str, Any]
    batches: "pd.Series[Any] | None"
    obs_fields: tuple[ObsField, ...]
    model_dir: Path | None
    mask: NDArray[np.bool_] | None
    counts: sparse.csr_matrix

    def without_data(self) -> Self:
        """Return what training needs of the call, small enough to be sent to another process."""
        return replace(self, target=replace(self.target, adata=AnnData()), mask=None, counts=self.counts[:0])


def check_fit(
    method: Method, adata: AnnData, n_clusters: NClusters, options: FitOptions, field_arguments: Mapping[str, Any]
) -> Request:
    """Return the checked call of a method; raise if an argument or the data cannot be used."""
    model_cls, keys = method.model_cls, Keys(options["key_added"])
    train_kwargs = options["train_kwargs"] or {}
    _anndata.check_anndata(adata)
    _anndata.check_layer(adata, options["layer"])
    _anndata.check_storage(adata, options["layer"], copy=options["copy"])
    model_cls.check_batch_key(options["batch_key"])
    batches = None if options["batch_key"] is None else read_batches(adata, keys, options["batch_key"])
    found = [READERS[name](adata, keys, field_arguments) for name in method.obs_fields]
    obs_fields = tuple(field for field in found if field is not None)
    n_types = sum(len(field.types) for field in obs_fields)
    n_clusters = _checks.check_n_clusters(n_clusters, adata.n_obs, n_types=n_types)
    _checks.check_choice("recipe", options["recipe"], model_cls.recipes)
    recipe = model_cls.recipes[options["recipe"]]
    algorithm = recipe.cluster if options["cluster"] is None else options["cluster"]
    resolution = check_algorithm("cluster", algorithm, n_clusters, options["resolution"])
    if resolution is not None and n_types:
        msg = "`resolution` is not used with labels: their types set the number of clusters. Leave it out."
        raise ValueError(msg)
    for name, value, minimum in (
        ("n_top_genes", options["n_top_genes"], _anndata.MIN_GENES),
        ("n_latent", options["n_latent"], 1),
        ("max_epochs", options["max_epochs"], 1),
        ("batch_size", options["batch_size"], 2),
        ("n_runs", options["n_runs"], 1),
    ):
        if value is not None:
            _checks.check_positive_int(name, value, minimum=minimum)
    module_kwargs = check_module(model_cls, recipe, n_clusters, options)
    _checks.check_n_clusters(module_kwargs.get("n_clusters"), adata.n_obs)
    _checks.check_arguments("train_kwargs", train_kwargs, model_cls.train_arguments())
    model_cls.check_training(accelerator=options["accelerator"], devices=options["devices"], **train_kwargs)
    written = keys.written(
        confidence=True,
        agreement=options["n_runs"] > 1,
        prediction=any(field.predicts for field in obs_fields),
        embedding=True,
        snapshots="snapshot_epochs" in train_kwargs,
    )
    check_key_added(adata, keys, written)
    _checks.check_rng(options["rng"])
    return Request(
        Target(adata, keys, options["copy"]),
        model_cls,
        recipe,
        options,
        n_clusters,
        algorithm,
        resolution,
        module_kwargs,
        batches,
        obs_fields,
        model_dir=None if options["model_dir"] is None else _checks.check_model_dir(options["model_dir"]),
        mask=resolve_mask_var(adata, options["mask_var"], options["n_top_genes"], use_flagged=recipe.use_flagged_genes),
        counts=checked_counts(adata, options["layer"]),
    )


def check_module(
    model_cls: "type[DeepClusteringModel]", recipe: "Recipe", n_clusters: NClusters, options: FitOptions
) -> dict[str, Any]:
    """Return the arguments of the module that differ from the recipe's.

    They include `n_clusters` and `n_latent` if the module has arguments with these names.
    """
    given = n_clusters if isinstance(n_clusters, int) else None
    requested = {"n_clusters": given, "n_latent": options["n_latent"]}
    requested = {
        name: value for name, value in requested.items() if value is not None and name in asdict(recipe.module)
    }
    module_kwargs = model_cls.check_module(options["model_kwargs"], "model_kwargs")
    _checks.check_no_conflict("model_kwargs", module_kwargs, requested)
    return module_kwargs | model_cls.check_module(requested)


def checked_counts(adata: AnnData, layer: str | None) -> sparse.csr_matrix:
    """Return the counts; raise unless they can be raw counts."""
    counts = read_counts(adata, layer)
    check_counts(counts, adata, layer)
    return counts


def check_algorithm(name: str, algorithm: str, n_clusters: NClusters, resolution: float | None) -> float | None:
    """Return the resolution; raise unless the `algorithm`, passed as `name`, can use it."""
    _checks.check_choice(name, algorithm, ALGORITHMS)
    checked: float | None = check_option("resolution", resolution, Positive | None)
    _checks.check_resolution(checked, n_clusters, name, algorithm)
    return checked


def check_target(
    adata: AnnData, key_added: str, *, copy: bool, min_obs: int = _anndata.MIN_CELLS, **written: bool
) -> Target:
    """Return where clusters of existing data are written; raise if they cannot be written there.

    `written` says which fields beside the clusters, see :meth:`~scx._workflow.keys.Keys.written`.
    """
    keys = Keys(key_added)
    _anndata.check_anndata(adata, min_obs=min_obs, min_vars=0)
    _anndata.check_storage(adata, None, copy=copy, counts=False)
    check_key_added(adata, keys, keys.written(**written))
    return Target(adata, keys, copy)


def check_key_added(adata: AnnData, keys: Keys, written: Collection[Field]) -> None:
    """Raise if h5ad or zarr cannot store the names, or if a field `written` is not one of scx."""
    key: Any = keys.key_added
    if not isinstance(key, str):
        msg = f"`key_added` must be a string, got {key!r}."
        raise TypeError(msg)
    longest = max(len(name.encode(errors="replace")) for _, name in keys.everything)
    for is_wrong, what in (
        (not key.strip(), "must not be empty"),
        (key != key.strip(), "must not begin or end with a space"),
        (not key.isprintable(), "must not contain line breaks, tabs or other characters that cannot be printed"),
        (bool(set(key) & set("/\\")), "must not contain a slash, which separates names in h5ad and zarr"),
        (key.startswith((".", "__")) or key in {"_index", "zarr.json"}, "is a name that h5ad or zarr use themselves"),
        (key == adata.obs.index.name, "is the name of the index of `adata.obs`"),
        (
            longest > MAX_NAME_BYTES,
            f"is too long: with suffixes it has {longest} bytes, and at most {MAX_NAME_BYTES} are possible",
        ),
    ):
        if is_wrong:
            msg = f'`key_added={key if len(key) < 50 else key[:50] + "…"!r}` {what}. Pass another `key_added`, such as "clusters".'
            raise ValueError(msg)
    own = keys.recorded(adata.uns)
    taken = [
        f"adata.{where}[{name!r}]"
        for where, name in written
        if (where, name) not in own and name in getattr(adata, where)
    ]
    if taken:
        msg = (
            f"`key_added={key!r}` would overwrite {', '.join(taken)}, which scx did not write under this name. "
            "Pass another `key_added`, or delete them first."
        )
        raise ValueError(msg)


def check_model(model: object, use: str) -> tuple["DeepClusteringModel | Ensemble", Path | None]:
    """Return a trained model, and its folder if it was loaded from one.

    Raise unless it embeds each cell by itself. `use` says for messages what it is needed for.
    """
    from scx.model._core.ensemble import Ensemble
    from scx.model._core.model import DeepClusteringModel
    from scx.model._core.store import load

    folder = Path(model) if isinstance(model, str | Path) else None
    loaded = model if folder is None else load(folder)
    if isinstance(loaded, Ensemble):
        return loaded, folder
    if not isinstance(loaded, DeepClusteringModel):
        msg = f"`model` must be a model of `scx.model`, or the path of its folder; got {_checks.short_repr(model)}."
        raise TypeError(msg)
    if not loaded.is_trained:
        msg = "`model` is not trained: call `model.train()`, or pass the `model_dir` of a method."
        raise ValueError(msg)
    if loaded.module.embeds_in_context:
        msg = (
            f'`model` cannot {use}: with `attention="batch"`, the embedding of a cell depends on the cells that it is '
            'embedded with. Train with `attention="cell"`, the default recipe.'
        )
        raise ValueError(msg)
    return loaded, folder
