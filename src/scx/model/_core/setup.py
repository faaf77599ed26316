"""Set-up of a model: its recipe, the data that it is made for, and its folder of files."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, LayerField, NumericalObsField
from scvi.model.base import BaseModelClass

from scx._anndata import check_batches, check_layer, check_storage
from scx._checks import check_arguments, check_choice, check_key, check_n_clusters
from scx._clustering.reference import Reference
from scx._compat import replace_content, torch_device
from scx._config import check_options
from scx._docs import filled
from scx._types import typed

from .module import DeepClusteringModule
from .preparation import BATCH, Preparation, size_factors
from .recipe import ModuleConfig, Recipe, model_paragraphs
from .store import load, save


class ModelSetup(BaseModelClass):
    """Model of scvi-tools with recipes, before it is trained or after it was loaded."""

    recipes: ClassVar[Mapping[str, Recipe]]
    stored_classes: ClassVar[tuple[type, ...]] = ()
    """Dataclasses of a method whose instances are saved with its model."""
    knows_batches: ClassVar[bool] = False
    """Whether the method makes use of the batches of cells."""
    snapshots: dict[int, NDArray[np.float32]]
    """Embeddings of all cells of training after the epochs that ``train`` was asked for."""
    reference_: Reference | None
    """What new cells are compared with; None if the cells of training were not clustered."""
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
        self.preparation_ = self._registered_preparation()
        self.module = self._make_module(config)
        self.recipe_ = recipe
        self.snapshots = {}
        self.reference_ = None
        self._model_summary_string = f"{type(self).__name__} model with recipe {recipe!r}"

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
        cls,
        adata: AnnData,
        layer: str | None = None,
        size_factor_key: str | None = None,
        batch_key: str | None = None,
        **kwargs: Any,
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
        batch_key
            Column of ``obs`` with the batch of each cell, such as its sample; None for no batches.
        **kwargs
            Passed on by scvi-tools when it registers further data.
        """
        setup_args = {"layer": layer, "size_factor_key": size_factor_key, "batch_key": batch_key}
        cls._register(adata, setup_args, **kwargs)

    @classmethod
    def check_batch_key(cls, batch_key: str | None) -> None:
        """Raise if there are batches and the model does not know them."""
        if batch_key is not None and not cls.knows_batches:
            msg = f"`batch_key={batch_key!r}` cannot be used: {cls.__name__} does not know batches. Leave it out."
            raise ValueError(msg)

    @classmethod
    def _register(cls, adata: AnnData, setup_args: Mapping[str, Any], **kwargs: Any) -> None:
        """Register counts, size factors and batches.

        All arguments of ``setup_anndata`` are kept for loading.
        """
        if "source_registry" not in kwargs:  # scvi-tools passes further arguments on only then
            check_arguments("", kwargs, setup_args)
        check_layer(adata, setup_args["layer"])
        check_storage(adata, setup_args["layer"], copy=True)  # nothing is written to a view
        if setup_args["size_factor_key"] is not None:
            check_key("size_factor_key", setup_args["size_factor_key"], "obs", adata.obs)
            size_factors(adata, setup_args["size_factor_key"])
        cls.check_batch_key(setup_args["batch_key"])
        setup_method_args = cls._get_setup_method_args(cls=cls, adata=adata, **setup_args)
        fields = [LayerField(REGISTRY_KEYS.X_KEY, setup_args["layer"], is_count_data=True)]
        if setup_args["size_factor_key"] is not None:
            fields.append(NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, setup_args["size_factor_key"]))
        if setup_args["batch_key"] is not None:
            adata.obs[BATCH] = check_batches(adata, setup_args["batch_key"])
            fields.append(CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, BATCH))
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @typed
    def save(self, dir_path: str | Path, *, overwrite: bool = False, save_anndata: bool = False) -> None:
        """Save the model in a folder of plain files, as `model_dir` of the methods does.

        Parameters
        ----------
        dir_path
            The folder; ``~`` stands for your home. It appears when all is written.
        overwrite
            Replace what is there.
        save_anndata
            Must be False, which callbacks of scvi-tools pass: the folder holds no data.

        Raises
        ------
        ValueError
            If the folder exists, unless it may be overwritten, or if data are to be saved.
        """
        if save_anndata:
            msg = "`save_anndata=True` cannot be used: the folder holds the model alone. Write the data with `adata.write_h5ad`."
            raise ValueError(msg)
        save(self, Path(dir_path).expanduser().absolute(), overwrite=overwrite)

    @classmethod
    @typed
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | bool | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Load a saved model of this class, see :func:`scx.model.load`, and give it data.

        Parameters
        ----------
        dir_path
            Folder that the model was saved in.
        adata
            AnnData with the genes of the model, by name in any order, to train on: that of the
            first training, or another one. None or False for none.
        accelerator, device
            Where to put the model, as in :meth:`scvi.model.base.BaseModelClass.load`.
        """
        target = torch_device(accelerator, device)
        model = load_as(cls, dir_path)
        model.to_device(target)
        if isinstance(adata, AnnData):
            model._check_known_batches(adata)
            model._validate_anndata(model.prepare(adata))
        return model

    def saved_arguments(self) -> dict[str, Any]:
        """Return the arguments with which a saved model is made again, besides its recipe."""
        return asdict(self.module.config)

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

    @staticmethod
    def prepare_query_anndata(
        adata: AnnData,
        reference_model: "str | Path | ModelSetup",
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Give new cells the genes of a model, in its order, and their size factors.

        This has the name and the arguments that it has in scvi-tools. No function of scx needs it:
        :func:`scx.tl.map_query` and the models take cells as they are.

        Parameters
        ----------
        adata
            Cells × genes, with raw counts in the layer of the model. Missing genes are those of the
            average cell of training, up to 20 %; in scvi-tools they are 0.
        reference_model
            A model, or the folder that it was saved in.
        return_reference_var_names
            Return the names of the genes of the model and do nothing else.
        inplace
            Change `adata` and return None; False returns a new AnnData.
        """
        model = reference_model
        if isinstance(model, str | Path):
            model = load_as(ModelSetup, model)
        if return_reference_var_names:
            return pd.Index(model.preparation_.genes)
        normalize = model.module.normalize
        prepared = model.preparation_.apply(adata, average=normalize.average, are_counts=normalize.log)
        if not inplace:
            return prepared
        replace_content(adata, prepared)
        return None

    def _check_known_batches(self, adata: AnnData) -> None:
        """Raise unless the cells are of batches that the model was trained on, if it has any."""
        key, known = self.preparation_.batch_key, self.preparation_.batches
        codes = self.preparation_.batch_codes(adata)
        if known is not None and (codes is None or (codes < 0).any()):
            msg = (
                f"`adata.obs[{key!r}]` must name for every cell a batch that the model was trained on: "
                f"{', '.join(map(repr, known.tolist()))}. To embed other cells, load the model without `adata`."
            )
            raise ValueError(msg)

    def _registered_preparation(self) -> Preparation:
        """Return the preparation that the arguments of ``setup_anndata`` give."""
        setup = self.registry_["setup_args"]
        fields = self.registry_["field_registries"]
        genes = np.asarray(fields[REGISTRY_KEYS.X_KEY]["state_registry"]["column_names"])
        preparation = Preparation(genes, setup["layer"], setup["size_factor_key"])
        if (batch_key := setup.get("batch_key")) is None:  # not in models of format 1
            return preparation
        batches = fields[REGISTRY_KEYS.BATCH_KEY]["state_registry"]["categorical_mapping"]
        return replace(preparation, batch_key=batch_key, batches=np.asarray(batches, dtype=str))


def load_as[Model: ModelSetup](model_cls: type[Model], folder: str | Path) -> Model:
    """Return the model in a folder; raise unless it is of this class."""
    model = load(folder)
    if not isinstance(model, model_cls):
        msg = f"{str(folder)!r} holds a model of another class, {type(model).__name__}: call `scx.model.load`."
        raise ValueError(msg)
    return model
