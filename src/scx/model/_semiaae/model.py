"""Model of scSemiAAE and its recipes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch.utils.data import BatchSampler

from scx._anndata import check_unlabeled, parse_labels
from scx._checks import check_key
from scx._clustering.n_clusters import NClusters
from scx._clustering.types import Partition, Prediction
from scx._types import typed
from scx.model._core.attributions import Groups
from scx.model._core.loaders import Rows, RowTargets
from scx.model._core.model import DeepClusteringModel
from scx.model._core.neighbors import nearest_neighbors
from scx.model._core.recipe import ModuleConfig, Recipe

from .components import principal_components
from .config import AdversarialConfig, SemiAAEConfig
from .guidance import Guidance, guide, one_hot
from .labeled_batches import LabeledBatches
from .module import SemiAAEModule
from .partition import STORED, partition_by_type, partition_by_vote
from .plan import AdversarialPlan

N_NEIGHBORS = 15
"""Neighbours of each cell in the graph over which labels are spread."""


class SemiAAE(DeepClusteringModel):
    """Semi-supervised adversarial autoencoder :cite:p:`Wang2023`.

    Parameters
    ----------
    {parameters}
    types
        Names of the known types; None for the types among the labels.

    Notes
    -----
    {training}

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> adata.obs["some_labels"] = adata.obs["bulk_labels"].astype(str)
    >>> adata.obs.loc[adata.obs_names[100:], "some_labels"] = "Unknown"
    >>> scx.model.SemiAAE.setup_anndata(adata, labels_key="some_labels")
    >>> model = scx.model.SemiAAE(adata)
    >>> model.train()
    >>> adata.obsm["X_semiaae"] = model.get_latent_representation()
    >>> adata.obs["predicted"] = model.predict()
    """

    stored_classes = STORED
    _module_cls = SemiAAEModule
    _training_plan_cls = AdversarialPlan
    module: SemiAAEModule
    _training: AdversarialConfig
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module=SemiAAEConfig(
                n_hidden=(128,),
                n_latent=32,
                n_decoder=(128,),
                n_discriminator=(64,),
                dispersion="gene",
                batch_norm=True,
                noise=0.0,
                input_dropout=0.5,
                dropout=0.2,
                reconstruction_weight=1.0,
                classification_weight=4.0,
                adversarial_weight=0.1,
                guided=True,
                max_value=10.0,
            ),
            training=AdversarialConfig(
                max_epochs=10,
                min_steps=300,
                batch_size=128,
                n_labeled=16,
                lr=3e-3,
                schedule="cosine",
                training_lr=3e-3,
                optimizer="adam",
                pretraining_fraction=0.2,
                discriminator_lr=3e-4,
                discriminator_interval=1,
            ),
        ),
        "paper": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=False,
            cluster="gmm",
            module=SemiAAEConfig(
                n_hidden=(256, 128),
                n_latent=64,
                n_decoder=(64, 128),
                n_discriminator=(64, 128, 256),
                dispersion="gene-cell",
                batch_norm=False,
                noise=1.0,
                input_dropout=0.0,
                dropout=0.2,
                reconstruction_weight=1.0,
                classification_weight=1.0,
                adversarial_weight=1.0,
                guided=False,
                max_value=None,
            ),
            training=AdversarialConfig(
                max_epochs=200,
                batch_size=128,
                n_labeled=32,
                lr=1e-3,
                training_lr=0.01,
                optimizer="adadelta",
                pretraining_fraction=0.5,
                discriminator_lr=1e-4,
                discriminator_interval=5,
            ),
        ),
    }

    @typed
    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        *,
        recipe: str = "default",
        types: Sequence[str] | None = None,
        **module_kwargs: Any,
    ) -> None:
        if types is None:
            self._check_set_up(adata, registry)
            types = []
            if adata is not None:
                registry_of_data = self._get_most_recent_anndata_manager(adata).registry
                types = list(self._labels(adata, registry_of_data).categories)
        self.types_ = tuple(types)
        self._guidance: Guidance | None = None
        super().__init__(adata, registry, recipe=recipe, **module_kwargs)

    def _make_module(self, config: ModuleConfig) -> SemiAAEModule:
        assert isinstance(config, SemiAAEConfig)
        return SemiAAEModule(self.summary_stats.n_vars, config, len(self.types_))

    def saved_arguments(self) -> dict[str, Any]:
        """Return the arguments with which a saved model is made again, besides its recipe."""
        return super().saved_arguments() | {"types": self.types_}

    @classmethod
    @typed
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        size_factor_key: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "Unknown",
        **kwargs: Any,
    ) -> None:
        """Register the fields of an AnnData that the model reads.

        Parameters
        ----------
        adata, layer, size_factor_key, batch_key, **kwargs
            As in :meth:`scx.model.InfoVAE.setup_anndata`.
        labels_key
            Column of ``obs`` with the types of some cells; None for no labels. Only training reads
            it: new cells need no labels.
        unlabeled_category
            Cells with this entry, an empty one or NaN are unlabelled.
        """
        if labels_key is not None and "source_registry" not in kwargs:
            check_key("labels_key", labels_key, "obs", adata.obs)
            check_unlabeled(cast("pd.Series[Any]", adata.obs[labels_key]), labels_key, unlabeled_category)
        setup_args = {
            "layer": layer,
            "size_factor_key": size_factor_key,
            "batch_key": batch_key,
            "labels_key": labels_key,
            "unlabeled_category": unlabeled_category,
        }
        cls._register(adata, setup_args, **kwargs)

    @typed
    def predict(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
        *,
        soft: bool = False,
    ) -> NDArray[Any] | pd.DataFrame:
        """Return the most probable known type of each cell.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_latent_representation`.
        soft
            Return the probability of every known type instead.

        Returns
        -------
        Names, shape (n_cells,), or with `soft` a table of cells × types.
        """
        if not self.types_:
            msg = "No types are known: the model was trained without labels. Set it up with `labels_key`."
            raise ValueError(msg)
        proba = self._for_cells(self.module.type_probabilities, adata, indices, batch_size)
        if not soft:
            return np.array(self.types_, dtype=object)[proba.argmax(axis=1)]
        return pd.DataFrame(proba, self._cell_names(adata, indices), list(self.types_))

    def partition(
        self,
        embedding: NDArray[np.float32],
        n_clusters: NClusters,
        algorithm: str,
        seed: int,
        resolution: float | None = None,
    ) -> Partition:
        """Cluster the cells of training: known types by name, and new groups.

        Without labels, the embedding is clustered. With ``recipe="paper"``, embedding and
        probabilities of the types are clustered together, and a cluster is named by the vote of its
        labelled cells; clusters with the same name stay separate. With the default recipe, the head
        gives each cell its type, except in groups of cells that labels do not reach.

        Parameters
        ----------
        embedding, n_clusters, algorithm, seed, resolution
            As in :meth:`scx.model._core.base.EmbeddingModel.partition`.
        """
        if not self.types_:
            return super().partition(embedding, n_clusters, algorithm, seed, resolution)
        assert not isinstance(n_clusters, tuple)  # refused with labels
        proba = self._for_cells(self.module.type_probabilities, None, None, None)
        if not self.module.config.guided:
            return partition_by_vote(embedding, proba, self._codes(), self.types_, n_clusters, algorithm, seed)
        if self._guidance is None:
            msg = (
                "Only the session that trained the model knows which cells the labels do not reach. Use the clusters "
                "that were written then, or `predict()` for the known types."
            )
            raise RuntimeError(msg)
        return partition_by_type(embedding, proba, self.types_, self._guidance, n_clusters, seed)

    @torch.inference_mode()
    def features(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedding and, if types are known, their probabilities, side by side."""
        if not self.types_:
            return embedding
        proba = self.module.probabilities_at(torch.from_numpy(embedding)).cpu().numpy()
        return np.concatenate([embedding, proba], axis=1)

    def assign(self, embedding: NDArray[np.float32]) -> Partition:
        """Give new cells the clusters of training, and predict their known types."""
        found = super().assign(embedding)
        if not self.types_:
            return found
        proba = self.features(embedding)[:, embedding.shape[1] :]
        return replace(found, prediction=Prediction(self.types_, proba))

    def explained_groups(self) -> Groups:
        """Return the known types, as predicted; without labels, the clusters of training."""
        if not self.types_:
            return super().explained_groups()

        @torch.inference_mode()
        def assign(embedding: NDArray[np.float32]) -> NDArray[np.int64]:
            z = torch.from_numpy(embedding).to(self.device)
            return self.module.log_probabilities_at(z).argmax(dim=1).cpu().numpy()

        return Groups(self.types_, assign, self.module.log_probabilities_at)

    @staticmethod
    def _labels(adata: AnnData, registry: Mapping[str, Any]) -> "pd.Categorical[Any]":
        """Return the types given in an AnnData that was set up."""
        setup_args = registry["setup_args"]
        if setup_args["labels_key"] is None:
            return pd.Categorical([np.nan] * adata.n_obs)
        return parse_labels(adata.obs[setup_args["labels_key"]], setup_args["unlabeled_category"])

    def _codes(self) -> NDArray[np.int64]:
        """Return the type of each cell of training, −1 if it is unlabelled."""
        return self._labels(self.adata, self.registry_).set_categories(self.types_).codes.astype(np.int64)

    def _training_batches(self, batches: BatchSampler) -> Rows:
        return LabeledBatches(batches, self._codes(), self._training.n_labeled) if self.types_ else batches

    def _callbacks(self) -> list[Callback]:
        if not self.types_:
            return []
        codes = self._codes()
        if self.module.config.guided:
            self._guidance = self._guide(codes)
            target = self._guidance.target
        else:
            target = one_hot(codes, len(self.types_)).astype(np.float32)
        return [RowTargets(torch.from_numpy(target))]

    def _finish_training(self) -> None:
        super()._finish_training()
        if self._guidance is not None:
            self._set_temperature(self._guidance.target)

    def _set_temperature(self, target: NDArray[np.float32]) -> None:
        """Scale the logits of the head to the least cross-entropy with the target.

        A few epochs do not reach it.
        """
        from scipy.optimize import minimize_scalar
        from scipy.special import log_softmax

        inverse_temperature = self.module.inverse_temperature
        inverse_temperature.fill_(1)
        log_proba = np.log(
            self._for_cells(self.module.type_probabilities, None, None, None) + np.finfo(np.float32).tiny
        )
        found = minimize_scalar(
            lambda factor: -(target * log_softmax(factor * log_proba, axis=1)).sum(), bounds=(0.1, 10), method="bounded"
        )
        inverse_temperature.fill_(found.x)

    @torch.inference_mode()
    def _guide(self, codes: NDArray[np.int64]) -> Guidance:
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator of the training
        neighbors = nearest_neighbors(self.source(), self.size_factors(), N_NEIGHBORS, seed)
        components = principal_components(self.expression, self.adata.n_obs, seed)
        return guide(neighbors, components, codes, len(self.types_), seed)
