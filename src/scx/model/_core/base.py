"""Set-up, cells and embeddings of a model: what it has before and after training."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField, NumericalObsField
from scvi.model.base import BaseModelClass
from torch import Tensor

from scx._anndata import check_layer, check_some_cells, check_storage
from scx._checks import check_arguments, check_choice, check_key, check_n_clusters, check_positive_int
from scx._clustering.fit import fit_partition
from scx._clustering.types import Partition
from scx._config import check_options
from scx._docs import filled
from scx._rng import exclusively
from scx._types import typed

from .module import DeepClusteringModule
from .preparation import Preparation, size_factors
from .recipe import ModuleConfig, Recipe, model_paragraphs
from .source import BATCH_SIZE, Batch, CellSource, row_numbers


class EmbeddingModel(BaseModelClass):
    """Model of scvi-tools with recipes, normalisation inside the model, and an embedding."""

    recipes: ClassVar[Mapping[str, Recipe]]
    snapshots: dict[int, NDArray[np.float32]]
    """Embeddings of all cells of training after the epochs that :meth:`train` was asked for."""
    _module_cls: type[DeepClusteringModule]
    module: DeepClusteringModule

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Fill the docstring of a model with the documentation of its configurations."""
        super().__init_subclass__(**kwargs)
        if "recipes" in vars(cls):
            cls.__doc__ = filled(cls.__doc__, model_paragraphs(cls.recipes["default"]))

    @typed
    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        recipe: str = "default",
        **module_kwargs: Any,
    ) -> None:
        check_choice("recipe", recipe, self.recipes)
        options = self.check_module(module_kwargs)
        config = replace(self.recipes[recipe].module, **options)
        self._check_set_up(adata, registry)
        super().__init__(adata, registry)
        check_n_clusters(options.get("n_clusters"), self.summary_stats.n_cells)
        self.module = self._make_module(config)
        self.recipe_ = recipe
        self.snapshots = {}
        self.preparation_ = self._registered_preparation()
        self._model_summary_string = f"{type(self).__name__} model with recipe {recipe!r}"
        self.init_params_ = self._get_init_params(locals())

    def _make_module(self, config: ModuleConfig) -> DeepClusteringModule:
        return self._module_cls(self.summary_stats.n_vars, config)

    @classmethod
    def _check_set_up(cls, adata: AnnData | None, registry: dict[str, Any] | None) -> None:
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
        """Return checked fields of the module's configuration.

        See :func:`scx._config.check_options`.
        """
        return check_options(name, options, type(cls.recipes["default"].module), known)

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
            Column of ``obs`` with the size factor of each cell, for example its total count over
            all genes if `adata` holds only some of them. Only ratios between cells matter. None
            sums the counts in `adata`.
        **kwargs
            Passed on by scvi-tools when it registers further data.
        """
        cls._register(adata, {"layer": layer, "size_factor_key": size_factor_key}, **kwargs)

    @classmethod
    def _register(cls, adata: AnnData, setup_args: Mapping[str, Any], **kwargs: Any) -> None:
        """Register counts and size factors; keep all arguments of ``setup_anndata`` for loading."""
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
            AnnData with the genes of the model, by name in any order: the one the model was trained
            on, or another one. None for the data that were saved with the model. False for none.
        *args, **kwargs
            As in :meth:`scvi.model.base.BaseModelClass.load`.
        """
        if not isinstance(adata, AnnData):
            loaded: Self = super().load(dir_path, adata, *args, **kwargs)
            return loaded
        model: Self = super().load(dir_path, False, *args, **kwargs)
        model._validate_anndata(model.prepare(adata))
        return model

    @typed
    def prepare(self, adata: AnnData) -> AnnData:
        """Return the cells as the model reads them: its genes in its order, and their size factors.

        Parameters
        ----------
        adata
            Cells × genes, with the genes of the model, by name in any order, and its layer. It is
            not changed.

        Returns
        -------
        A new AnnData, or `adata` itself if it is prepared already. Models take any `adata` as it
        is and prepare it themselves; this shows what they see.
        """
        return self.preparation_.apply(adata)

    def _registered_preparation(self) -> Preparation:
        """Return the preparation that the arguments of ``setup_anndata`` give."""
        setup = self.registry_["setup_args"]
        genes = self.registry_["field_registries"][REGISTRY_KEYS.X_KEY]["state_registry"]["column_names"]
        return Preparation(np.asarray(genes), setup["layer"], setup["size_factor_key"])

    def source(self, adata: AnnData | None = None) -> CellSource:
        """Return the cells of `adata` as the model reads them; None for the cells of training."""
        adata = self.adata if adata is None else adata
        if adata is None:
            msg = "The model was loaded without data: pass `adata`."
            raise ValueError(msg)
        check_some_cells(adata)
        return self.preparation_.source(adata, are_counts=self.module.normalize.log)

    @typed
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        adata
            AnnData with the fields of the one the model was set up with; None for that one. Genes
            are matched by name: they may be in any order, and there may be others. It is not
            changed.
        indices
            Cells to embed, in this order; None for all.
        batch_size
            Cells per batch. It does not change the result, except for models whose cells attend to
            each other (:class:`CICL` with ``attention="batch"``): their default is the batch size
            of the training, and cells are embedded in random batches, the same for every call.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        return self._for_cells(self.module.embed, adata, indices, batch_size)

    def _cell_names(self, adata: AnnData | None, indices: Sequence[int] | NDArray[Any] | None) -> pd.Index:
        """Return the names of the cells that `indices` gives, in this order."""
        names = (self.adata if adata is None else adata).obs_names
        return names if indices is None else names[np.asarray(indices)]

    def partition(
        self,
        embedding: NDArray[np.float32],
        n_clusters: int | None,
        algorithm: str,
        seed: int,
        resolution: float | None = None,
    ) -> Partition:
        """Cluster the cells of training. Models that know more than the embedding override this.

        Parameters
        ----------
        embedding
            Their embedding, shape (n_cells, n_latent).
        n_clusters, algorithm, seed, resolution
            As in :func:`scx._clustering.fit.fit_partition`.

        Returns
        -------
        Clusters. They may have names and a prediction of known types.
        """
        return fit_partition(embedding, n_clusters, algorithm, seed, resolution)

    @exclusively
    @torch.inference_mode()
    def _for_cells(
        self,
        function: Callable[[Batch], Tensor],
        adata: AnnData | None,
        indices: Sequence[int] | NDArray[Any] | None,
        batch_size: int | None,
    ) -> NDArray[np.float32]:
        """Return what a function of the module gives for each cell, in the order of `indices`."""
        self._check_if_trained(warn=False)
        cells = self.source(adata)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        rows = np.arange(cells.n_obs) if indices is None else row_numbers(indices, cells.n_obs)
        distinct, places = np.unique(rows, return_inverse=True)
        return self._in_batches(function, cells, distinct, batch_size).cpu().numpy()[places]

    def _in_batches(
        self,
        function: Callable[[Batch], Tensor],
        cells: CellSource,
        rows: NDArray[np.int64],
        batch_size: int | None = None,
    ) -> Tensor:
        """Apply a function of the module to cells in batches.

        Return its rows in the order of `rows`, which increase.
        """
        if not self.module.embeds_in_context:
            return torch.cat([function(batch) for batch in cells.batches(rows, batch_size or BATCH_SIZE)])
        # Cells are embedded among as many others as in training, drawn at random.
        n_batches = math.ceil(len(rows) / (batch_size or self.batch_size_))
        shuffled = np.random.default_rng(0).permutation(len(rows))
        parts = [np.sort(part) for part in np.array_split(shuffled, n_batches)]
        embedded = torch.cat([function(cells.checked(cells[rows[part]])) for part in parts])
        order = torch.from_numpy(np.argsort(np.concatenate(parts)))
        return embedded[order.to(embedded.device)]

    @torch.no_grad()
    def embed_while_training(self, rows: NDArray[np.int64] | None = None) -> Tensor:
        """Return the current embedding of cells of training, shape (n_cells, n_latent).

        Parameters
        ----------
        rows
            Row numbers, increasing; None for all cells.
        """
        self.module.eval()
        try:
            rows = np.arange(self.adata.n_obs) if rows is None else rows
            return self._in_batches(self.module.embed, self.source(), rows)
        finally:
            self.module.train()

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
