"""What the models share on top of scvi-tools."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from anndata import AnnData
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField, NumericalObsField
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin
from scvi.module.base import BaseModuleClass, auto_move_data
from scvi.train import Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from scx._anndata import check_layer, check_some_cells, check_storage, matrix_name
from scx._checks import check_arguments, check_choice, check_epochs, check_key, check_n_clusters, check_positive_int
from scx._clustering.confidence import is_constant
from scx._clustering.fit import fit_partition
from scx._clustering.types import Partition
from scx._config import Count, Range, check_option, check_options
from scx._rng import exclusively
from scx._types import check_type, typed
from scx.model._core.normalize import LogNormalize
from scx.model._core.reader import CellReader, check_values, gene_columns, row_numbers, size_factors
from scx.model._core.snapshots import Snapshots
from scx.model._core.stopping import EARLY_STOPPING, Instability
from scx.model._core.training import (
    Diverged,
    Runner,
    check_limit,
    check_steps,
    check_trainer,
    session_restored,
    with_history,
)

INFERENCE_BATCH_SIZE = 4096
"""Cells per batch where nothing is trained."""
BatchSize = Annotated[int, Range(2)]
"""Cells per training step."""


@dataclass(frozen=True)
class Recipe:
    """Every choice that turns a method into a run, in one place.

    Parameters
    ----------
    n_top_genes
        Number of highly variable genes.
    min_cells
        Genes with counts in fewer cells are dropped; a fraction is one of the cells.
    use_flagged_genes
        Whether genes that the user flagged in ``var["highly_variable"]`` take the place of a selection.
    module
        Arguments of the module.
    train
        ``max_epochs``, at least ``min_steps`` steps, ``batch_size``, ``plan_kwargs`` of the training plan, and whether
        to ``settle_batch_norm`` on unperturbed cells after training.
    cluster
        How the embedding is clustered, as in :func:`scx.tl.cluster`.
    """

    n_top_genes: int
    min_cells: int | float
    use_flagged_genes: bool
    module: Mapping[str, Any]
    train: Mapping[str, Any]
    cluster: str = "kmeans"


class DeepClusteringModule(BaseModuleClass):
    """The mathematics of one method: normalisation, an embedding, and a loss.

    Subclasses define :meth:`embed` and :meth:`loss`.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of the losses that every epoch has, whichever its phase."""
    normalize: LogNormalize
    encoder: nn.Module

    @property
    def embeds_in_context(self) -> bool:
        """Whether the embedding of a cell depends on the other cells of its batch."""
        return False

    @property
    def least_batch_share(self) -> float:
        """Least share of a full batch that is trained on. Batch normalisation must not rest on a few cells."""
        return 0.5 if any(isinstance(layer, nn.BatchNorm1d) for layer in self.modules()) else 0.0

    @staticmethod
    def inputs(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the counts, shape (n, n_genes), and the size factors, shape (n, 1), of a batch.

        The size factor of a cell is its sum over the genes of the model where none was registered.
        """
        x = tensors[REGISTRY_KEYS.X_KEY]
        size_factor = tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY)
        return x, x.sum(dim=1, keepdim=True) if size_factor is None else size_factor

    @auto_move_data
    def normalized(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the normalised expression of a batch, shape (n, n_genes)."""
        return self.normalize(*self.inputs(tensors))

    @auto_move_data
    def embed(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the embedding of a batch, shape (n, n_latent)."""
        raise NotImplementedError

    def loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of a batch by name, scalars; the one named ``loss`` is minimised."""
        raise NotImplementedError


class DeepClusteringModel(UnsupervisedTrainingMixin, BaseModelClass):
    """Model of scvi-tools with recipes, normalisation inside the model, and an embedding.

    Subclasses define `_module_cls`, `_training_plan_cls` and `recipes`.
    """

    recipes: ClassVar[Mapping[str, Recipe]]
    snapshots: dict[int, NDArray[np.float32]]
    """Embeddings of all training cells after epochs, kept where :meth:`train` was asked to."""
    _module_cls: type[DeepClusteringModule]
    _train_runner_cls = Runner

    @typed
    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        *,
        recipe: str = "default",
        **module_kwargs: Any,
    ) -> None:
        check_choice("recipe", recipe, self.recipes)
        options = self.check_module(module_kwargs)
        self._check_set_up(adata, registry)
        super().__init__(adata, registry)
        check_n_clusters(options.get("n_clusters"), self.summary_stats.n_cells)
        self.module = self._module_cls(self.summary_stats.n_vars, **{**self.recipes[recipe].module, **options})
        self.recipe_ = recipe
        self.snapshots = {}
        self._model_summary_string = f"{type(self).__name__} model with recipe {recipe!r}"
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def _check_set_up(cls, adata: AnnData | None, registry: dict | None) -> None:
        """Raise unless there are data to make a model for, and they were set up."""
        call = f"`scx.model.{cls.__name__}.setup_anndata(adata)`"
        if adata is None and registry is None:
            msg = f"`adata` is missing: pass an AnnData that was set up with {call}."
            raise ValueError(msg)
        if adata is not None and cls._get_most_recent_anndata_manager(adata) is None:
            msg = f"`adata` is not set up: call {call} first."
            raise ValueError(msg)

    @classmethod
    def check_module(cls, options: Any, name: str = "", known: Iterable[str] | None = None) -> dict[str, Any]:
        """Return checked arguments of the module; parameters are those of :func:`scx._config.check_options`."""
        return check_options(name, options, cls._module_cls, known)

    @classmethod
    def check_training(
        cls,
        *,
        max_epochs: Any = None,
        batch_size: Any = None,
        accelerator: Any = "auto",
        devices: Any = "auto",
        plan_kwargs: Any = None,
        early_stopping: Any = False,
        callbacks: Any = (),
        **others: Any,
    ) -> dict[str, Any]:
        """Return checked arguments of :meth:`train` by name; raise if one cannot be used, before anything is computed."""
        check_type("callbacks", callbacks, Sequence[Callback])
        check_arguments("", others, cls.train_arguments())
        accelerator, devices = check_trainer(accelerator, devices, {**others, "callbacks": callbacks})
        if cls._training_plan_cls.steps_itself:
            check_steps(cls.__name__, others)
        if early_stopping and not callbacks:  # which may log further names
            monitor = {**EARLY_STOPPING, **others}["early_stopping_monitor"]
            check_choice("early_stopping_monitor", monitor, ("instability", *cls._module_cls.losses))
        return {
            "accelerator": accelerator,
            "devices": devices,
            "max_epochs": check_option("max_epochs", max_epochs, Count | None),
            "batch_size": check_option("batch_size", batch_size, BatchSize | None),
            "plan_kwargs": check_options("plan_kwargs", plan_kwargs, cls._training_plan_cls),
            "early_stopping": check_option("early_stopping", early_stopping, bool),
            "callbacks": callbacks,
            **others,
        }

    @classmethod
    def train_arguments(cls) -> set[str]:
        """Return the names that :meth:`train` takes and passes on, less those that the methods have as their own."""
        functions = (cls.train, Trainer, LightningTrainer)
        names = {name for function in functions for name in signature(function).parameters}
        return names - {"self", "kwargs", "trainer_kwargs", "max_epochs", "batch_size", "accelerator", "devices"}

    @classmethod
    @typed
    def setup_anndata(
        cls, adata: AnnData, layer: str | None = None, size_factor_key: str | None = None, **kwargs: Any
    ) -> None:
        """Register the fields of an AnnData that the model reads.

        Parameters
        ----------
        adata
            Cells × genes.
        layer
            Layer with raw counts; None for ``X``.
        size_factor_key
            Column of ``obs`` with the size factor of each cell, such as its total count over all genes where `adata` holds
            only some of them. Only ratios between cells matter. None sums the counts in `adata`.
        **kwargs
            Passed on by scvi-tools when it registers further data.
        """
        cls._register(adata, {"layer": layer, "size_factor_key": size_factor_key}, **kwargs)

    @classmethod
    def _register(cls, adata: AnnData, setup_args: Mapping[str, Any], **kwargs: Any) -> None:
        """Register counts and size factors; all arguments of ``setup_anndata`` are kept, so that loading sets up the same."""
        if "source_registry" not in kwargs:  # scvi-tools passes further arguments on only then
            check_arguments("", kwargs, setup_args)
        check_layer(adata, setup_args["layer"])
        check_storage(adata, setup_args["layer"], copy=True)  # nothing is written to a view
        if setup_args["size_factor_key"] is not None:
            check_key("size_factor_key", setup_args["size_factor_key"], "obs", adata.obs)
            size_factors(adata, setup_args["size_factor_key"])
        setup_method_args = cls._get_setup_method_args(cls=cls, adata=adata, **setup_args)
        fields = [LayerField(REGISTRY_KEYS.X_KEY, setup_args["layer"], is_count_data=True)]
        if setup_args["size_factor_key"] is not None:
            fields.append(NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, setup_args["size_factor_key"]))
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def load(cls, dir_path: str, adata: AnnData | bool | None = None, *args: Any, **kwargs: Any) -> Self:
        """Load a saved model, as scvi-tools does.

        The file is unpickled, which can run any code that is in it: load only files that you trust.

        Parameters
        ----------
        dir_path
            Folder that the model was saved in.
        adata
            AnnData with the genes of the model, by name in any order; the data of the model are these genes of it. None for the
            data that were saved with it, if they were. False for none.
        *args, **kwargs
            As in :meth:`scvi.model.base.BaseModelClass.load`.
        """
        if not isinstance(adata, AnnData):
            return super().load(dir_path, adata, *args, **kwargs)
        model = super().load(dir_path, False, *args, **kwargs)
        columns = gene_columns(adata.var_names, model._genes())
        if columns is not None:
            part = adata[:, columns]
            adata = part.to_memory() if adata.isbacked else part.copy()
        model._validate_anndata(adata)
        return model

    @exclusively
    @typed
    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        plan_kwargs: Mapping[str, Any] | None = None,
        early_stopping: bool = False,
        snapshot_epochs: Collection[int] = (),
        callbacks: Sequence[Callback] = (),
        **trainer_kwargs: Any,
    ) -> None:
        """Train on all cells.

        Parameters
        ----------
        max_epochs
            Number of epochs; None for the recipe's, or as many as it takes for the recipe's least number of steps.
        batch_size
            Cells per step; None for the recipe's. With batch normalisation, a last batch of fewer than half as many cells is
            left out, and so is one of a single cell always; other cells are left out in every epoch.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        plan_kwargs
            Arguments of the training plan, in place of the recipe's.
        early_stopping
            Stop when the neighbourhoods of cells in the embedding no longer change less from epoch to epoch, see
            :class:`~scx.model._core.stopping.Instability`: when this ``instability`` has not fallen by 0.01
            (``early_stopping_min_delta``) in 10 epochs (``early_stopping_patience``), counted in the last phase of the training
            only. Each epoch of the history has its value.
        snapshot_epochs
            Epochs, counted from 1, at whose end the embedding of all cells is kept in `snapshots`; 0 is before the first step.
            The run takes the same course as without.
        callbacks
            Further callbacks of Lightning.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`.

        Raises
        ------
        ValueError, TypeError
            Before training: if an argument cannot be used, or asks for more than one device.
        RuntimeError
            If training diverged: an epoch ended with a loss or weights that are NaN or infinite, or in the end the embedding is,
            or all cells have the same. The model then counts as untrained, as after any error and after Ctrl-C.
        """
        checked = self.check_training(
            max_epochs=max_epochs,
            batch_size=batch_size,
            plan_kwargs=plan_kwargs,
            early_stopping=early_stopping,
            callbacks=callbacks,
            accelerator=accelerator,
            devices=devices,
            **trainer_kwargs,
        )
        max_epochs, batch_size = checked["max_epochs"], checked["batch_size"]
        accelerator, devices = checked["accelerator"], checked["devices"]
        recipe = self.recipes[self.recipe_].train
        n_obs = self.adata.n_obs
        batch_size = min(batch_size or recipe["batch_size"], n_obs)
        ragged = n_obs % batch_size
        drop_last = ragged == 1 or 0 < ragged < self.module.least_batch_share * batch_size
        n_steps = n_obs // batch_size + (ragged > 0 and not drop_last)
        if max_epochs is None:
            max_epochs = max(recipe["max_epochs"], math.ceil(recipe["min_steps"] / n_steps))
        check_epochs("snapshot_epochs", snapshot_epochs, max_epochs)
        check_limit(trainer_kwargs.get("limit_train_batches"), n_steps)
        self.batch_size_ = batch_size
        if not self.is_trained:
            self._fit_normalization()
        callbacks = [*callbacks, *self._callbacks()]
        if early_stopping:
            callbacks.append(Instability(self))
            trainer_kwargs = {**EARLY_STOPPING, **trainer_kwargs}
        if len(snapshot_epochs):
            watch = Snapshots(self, snapshot_epochs)
            callbacks.append(watch)
            self.snapshots = watch.embeddings
        logger = with_history(trainer_kwargs.pop("logger", None), trainer_kwargs.pop("log_save_dir", None))
        try:
            with session_restored():
                super().train(
                    max_epochs=max_epochs,
                    accelerator=accelerator,
                    devices=devices,
                    train_size=1.0,
                    shuffle_set_split=False,
                    batch_size=batch_size,
                    datasplitter_kwargs={"drop_last": drop_last, **self._splitter_kwargs()},
                    plan_kwargs={**recipe["plan_kwargs"], **checked["plan_kwargs"]},
                    early_stopping=checked["early_stopping"],
                    callbacks=callbacks,
                    logger=logger,
                    **trainer_kwargs,
                )
            self._finish_training()
            self._check_result()
        except BaseException as error:
            self.is_trained_ = False
            if isinstance(error, MisconfigurationException):
                msg = f"Lightning cannot train {type(self).__name__} so: {error}"
                raise ValueError(msg) from error
            raise

    @typed
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        adata
            AnnData with the fields of the one the model was set up with; None for that one. Genes are matched by name: they may be in
            any order, and there may be others. It is not changed.
        indices
            Cells to embed, in this order; None for all.
        batch_size
            Cells per batch. It does not change the result, but for models whose cells attend to each other
            (:class:`CICL` with ``attention="batch"``): their default is the batch size of the training, and cells are embedded
            in random batches, the same for every call.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        return self._of_cells(self.module.embed, adata, indices, batch_size)

    def cluster(
        self,
        embedding: NDArray[np.float32],
        n_clusters: int | None,
        method: str,
        seed: int,
        resolution: float | None = None,
    ) -> Partition:
        """Cluster the cells that the model was trained on; overridden where a model knows more of them than their embedding.

        Parameters
        ----------
        embedding
            Their embedding, shape (n_cells, n_latent).
        n_clusters, method, seed, resolution
            As in :func:`scx._clustering.fit.fit_partition`.

        Returns
        -------
        Clusters, which may have names and come with a prediction of known types.
        """
        return fit_partition(embedding, n_clusters, method, seed, resolution)

    @exclusively
    @torch.inference_mode()
    def _of_cells(
        self,
        function: Callable[[dict[str, Tensor]], Tensor],
        adata: AnnData | None,
        indices: Sequence[int] | NDArray | None,
        batch_size: int | None,
    ) -> NDArray[np.float32]:
        """Apply a function of the module to cells in batches; its rows come back in the order of `indices`."""
        self._check_if_trained(warn=False)
        cells = self._reader(self._data(adata))
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        indices = np.arange(cells.n_obs) if indices is None else row_numbers(indices, cells.n_obs)
        # Data on disk is read in increasing order whatever the order asked for.
        rows, rank = np.unique(indices, return_inverse=True)
        return self._over(function, cells, rows, batch_size).cpu().numpy()[rank]

    def _data(self, adata: AnnData | None) -> AnnData:
        """Return `adata`, or for None the data of the model."""
        adata = self.adata if adata is None else adata
        if adata is None:
            msg = "The model was loaded without data: pass `adata`."
            raise ValueError(msg)
        check_some_cells(adata)
        return adata

    def _reader(self, adata: AnnData) -> CellReader:
        """Return a reader of the cells of any AnnData with the genes of the model."""
        setup = self.registry_["setup_args"]
        return CellReader(
            adata,
            self._genes(),
            layer=setup["layer"],
            size_factor_key=setup["size_factor_key"],
            counts=self.module.normalize.log,
        )

    def _genes(self) -> NDArray:
        """Return the names of the genes that the model was set up with, in its order."""
        return self.registry_["field_registries"][REGISTRY_KEYS.X_KEY]["state_registry"]["column_names"]

    @torch.no_grad()
    def embed_while_training(self, cells: NDArray[np.int64] | None = None) -> Tensor:
        """Return the embedding of training cells as it is at a moment of training, shape (n_cells, n_latent).

        Parameters
        ----------
        cells
            Row numbers, increasing; None for all cells.
        """
        self.module.eval()
        try:
            rows = np.arange(self.adata.n_obs) if cells is None else cells
            return self._over(self.module.embed, self._reader(self.adata), rows)
        finally:
            self.module.train()

    def snapshot(self) -> NDArray[np.float32]:
        """Return the embedding of all cells as it would be if training ended now, and leave the run as it was.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        # settling reads cells by a loader, which draws a seed even where it does not shuffle
        with torch.random.fork_rng(devices=[]), self._statistics_restored():
            if self.recipes[self.recipe_].train["settle_batch_norm"]:
                self._settle_batch_norm()
            return self.embed_while_training().cpu().numpy()

    @contextmanager
    def _statistics_restored(self) -> Iterator[None]:
        """Restore the running statistics of the encoder's batch normalisation on leaving."""
        before = {name: buffer.clone() for name, buffer in self.module.encoder.named_buffers()}
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in self.module.encoder.named_buffers():
                    buffer.copy_(before[name])

    @property
    def phase_starts(self) -> dict[str, int]:
        """First epoch, counted from 1, of each phase of the last training; empty where it had but one."""
        return self.trainer.lightning_module.phase_starts()

    def _over(
        self,
        function: Callable[[dict[str, Tensor]], Tensor],
        cells: CellReader,
        rows: NDArray[np.int64],
        batch_size: int | None = None,
    ) -> Tensor:
        """Apply a function of the module to cells in batches, and return its rows in the order of `rows`, which increase."""
        if not self.module.embeds_in_context:
            return torch.cat([function(tensors) for tensors in cells.batches(rows, batch_size or INFERENCE_BATCH_SIZE)])
        # Cells are embedded among as many others as in training, drawn at random. Rows of a batch increase, for data on disk.
        n_batches = math.ceil(len(rows) / (batch_size or self.batch_size_))
        shuffled = np.random.default_rng(0).permutation(len(rows))
        batches = [np.sort(batch) for batch in np.array_split(shuffled, n_batches)]
        parts = [function(tensors) for batch in batches for tensors in cells.batches(rows[batch], len(batch))]
        order = torch.from_numpy(np.argsort(np.concatenate(batches)))
        return torch.cat(parts)[order.to(parts[0].device)]

    def _splitter_kwargs(self) -> dict[str, Any]:
        """Return what the data splitter of a method takes beyond that of scvi-tools."""
        return {}

    def _callbacks(self) -> list[Callback]:
        """Return what a method does between the steps of training."""
        return []

    def _finish_training(self) -> None:
        """Do what is left to do when the last step is taken."""
        if self.recipes[self.recipe_].train["settle_batch_norm"]:
            self._settle_batch_norm()

    def _check_result(self) -> None:
        """Raise unless an epoch was trained to its end, and cells have embeddings that tell them apart."""
        if "loss" not in self.history:
            msg = "Training ended before its first epoch did. Allow it more time or steps: `max_time`, `max_steps`."
            raise RuntimeError(msg)
        embedding = self._of_cells(self.module.embed, None, None, None)
        n_bad = int((~np.isfinite(embedding).all(axis=1)).sum())
        if n_bad or is_constant(embedding):
            what = (
                f"the embedding of {n_bad} cells is NaN or infinite" if n_bad else "all cells have the same embedding"
            )
            raise Diverged(what, self.trainer.lightning_module.learning_rates)

    def _batches(self, adata: AnnData, indices: NDArray | None = None) -> Iterator[dict[str, Tensor]]:
        """Load cells of training in batches of nearly equal size, so that none is left with a few cells."""
        n_cells = adata.n_obs if indices is None else len(indices)
        n_batches = math.ceil(n_cells / INFERENCE_BATCH_SIZE)
        return iter(self._make_data_loader(adata, indices=indices, batch_size=math.ceil(n_cells / n_batches)))

    def _size_factors(self) -> NDArray:
        """Return the size factors of the training cells, shape (n_cells,)."""
        batches = [self.module.inputs(tensors)[1] for tensors in self._batches(self.adata)]
        return torch.cat(batches).squeeze(1).numpy()

    @torch.inference_mode()
    def _fit_normalization(self) -> None:
        source = matrix_name(self.registry_["setup_args"]["layer"])

        def inputs(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            check_values(tensors[REGISTRY_KEYS.X_KEY], source, counts=self.module.normalize.log)
            return self.module.inputs(tensors)

        self.module.normalize.fit(self._size_factors(), map(inputs, self._batches(self.adata)))

    @torch.inference_mode()
    def _settle_batch_norm(self) -> None:
        """Estimate the statistics of batch normalisation anew, on cells as they are embedded.

        In training they come from perturbed cells (most genes masked, noise added), whose activations have another mean
        and variance than those of the cells that are embedded afterwards.
        """
        batches = ({name: x.to(self.device) for name, x in tensors.items()} for tensors in self._batches(self.adata))
        update_bn(map(self.module.normalized, batches), self.module.encoder)
