"""scSemiAAE: Wang, Wang, Zhao et al., BMC Bioinformatics 24:217 (2023)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from scvi import REGISTRY_KEYS
from scvi.module.base import auto_move_data
from torch import Tensor, nn
from torch.nn import functional as F

from scx._anndata import check_unlabeled, given_labels
from scx._checks import check_key
from scx._clustering.fit import fit_partition
from scx._clustering.n_clusters import fixed_n_clusters
from scx._clustering.naming import named_after, new_names
from scx._clustering.types import Partition, Prediction
from scx._config import Count, LearningRate, Noise, Positive, Range, Rate, Share, Weight, Width
from scx._types import typed
from scx.model._core.losses import decoded_zinb_nll
from scx.model._core.model import DeepClusteringModel, DeepClusteringModule, Recipe
from scx.model._core.networks import GaussianNoise, mlp_encoder
from scx.model._core.normalize import LogNormalize
from scx.model._core.pairs import nearest_neighbors
from scx.model._core.plan import EpochPlan
from scx.model._core.rows import RowTargets
from scx.model._semiaae.guidance import UNREACHED, Guidance, guide, one_hot
from scx.model._semiaae.labeled_batches import LabeledSplitter

N_NEIGHBORS = 15
"""Neighbours of each cell in the graph over which labels are spread."""
N_COMPONENTS = 50
"""Principal components that the linear classifier sees."""
MAX_CELLS_OF_COMPONENTS = 10_000
"""Cells on which the principal components are fitted; of more, that many are drawn."""


class SemiAAEModule(DeepClusteringModule):
    r"""Autoencoder of counts whose embedding a discriminator holds to the prior, and from which a head reads known types.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_types
        Number of known types; 0 for none, and no head.
    n_hidden
        Widths of the hidden layers of the encoder.
    n_latent
        Dimensions of the embedding.
    n_decoder
        Widths of the hidden layers of the decoder.
    n_discriminator
        Widths of the hidden layers of the discriminator.
    dispersion
        Dispersion of counts: one for each ``"gene"``, or ``"gene-cell"``, from the decoder.
    batch_norm
        Whether hidden layers of encoder and decoder have batch normalisation.
    noise
        Standard deviation of the noise on the input in training.
    input_dropout, dropout
        Probability with which a gene, or a unit of a hidden layer of encoder and decoder, is left out in training.
    reconstruction_weight, classification_weight, adversarial_weight
        Weights of the negative log-likelihood per gene, of the cross-entropy, and of the generator's loss.
    guided
        Whether types are estimated for all cells before training, and learned from these estimates, see
        :func:`scx.model._semiaae.guidance.guide`; False learns from the given labels only.
    max_value
        Clipping of z-scores; None does not clip.
    """

    losses = ("loss", "reconstruction_loss")

    def __init__(
        self,
        n_genes: int,
        *,
        n_types: Annotated[int, Range(0)],
        n_hidden: Sequence[Width],
        n_latent: Width,
        n_decoder: Sequence[Width],
        n_discriminator: Sequence[Width],
        dispersion: Literal["gene", "gene-cell"],
        batch_norm: bool,
        noise: Noise,
        input_dropout: Rate,
        dropout: Rate,
        reconstruction_weight: Weight,
        classification_weight: Weight,
        adversarial_weight: Weight,
        guided: bool,
        max_value: Positive | None,
    ) -> None:
        super().__init__()
        self.n_types = n_types
        self.reconstruction_weight = reconstruction_weight
        self.classification_weight = classification_weight
        self.adversarial_weight = adversarial_weight
        self.guided = guided
        self.normalize = LogNormalize(n_genes, max_value)
        self.corrupt = nn.Sequential(*[GaussianNoise(noise)] * (noise > 0), nn.Dropout(input_dropout))
        self.encoder = mlp_encoder(n_genes, n_hidden, n_latent, batch_norm=batch_norm, dropout=dropout)
        parameters_per_gene = 2 if dispersion == "gene" else 3
        self.decoder = mlp_encoder(
            n_latent, n_decoder, parameters_per_gene * n_genes, batch_norm=batch_norm, dropout=dropout
        )
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes if dispersion == "gene" else 0))
        self.head = nn.Linear(n_latent, n_types) if n_types else None
        self.inverse_temperature: Tensor
        self.register_buffer("inverse_temperature", torch.ones(()))  # fitted after training
        self.discriminator = mlp_encoder(n_latent, n_discriminator, 1, batch_norm=False)

    @auto_move_data
    def embed(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the output of the encoder, nothing corrupted."""
        return self.encoder(self.normalized(tensors))

    @auto_move_data
    def type_probabilities(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return the probability of each known type, shape (n, n_types)."""
        assert self.head is not None
        return (self.inverse_temperature * self.head(self.embed(tensors))).softmax(dim=1)

    def loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of a batch; where types are known, it holds the ``"target"``, see :meth:`_classification`.

        ``loss`` does not include ``discriminator_loss``, the cross-entropy of telling embedded cells from as many draws from the
        prior, which has no gradient for the encoder.
        """
        z = self._corrupted_embedding(tensors)
        prior = torch.randn_like(z)
        losses = {
            "reconstruction_loss": self._reconstruction(tensors, z),
            "generator_loss": F.softplus(-self.discriminator(z)).mean(),  # −ln d(z)
            "discriminator_loss": F.softplus(-self.discriminator(prior)).mean()
            + F.softplus(self.discriminator(z.detach())).mean(),
        }
        loss = self.reconstruction_weight * losses["reconstruction_loss"]
        loss = loss + self.adversarial_weight * losses["generator_loss"]
        if self.head is not None:
            losses["classification_loss"] = self._classification(tensors["target"], self.head(z))
            loss = loss + self.classification_weight * losses["classification_loss"]
        return {"loss": loss, **losses}

    def pretraining_loss(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the likelihood alone."""
        reconstruction = self._reconstruction(tensors, self._corrupted_embedding(tensors))
        return {"loss": self.reconstruction_weight * reconstruction, "reconstruction_loss": reconstruction}

    def _corrupted_embedding(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return self.encoder(self.corrupt(self.normalized(tensors)))

    @staticmethod
    def _classification(target: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy with a target of the same shape (n, n_types), mean over rows; rows of 0 do not count."""
        return -(target * logits.log_softmax(dim=1)).sum() / target.sum().clamp_min(1)

    def _reconstruction(self, tensors: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """Return the negative log-likelihood of the counts, mean over cells and genes."""
        x, size_factor = self.inputs(tensors)
        relative_size = size_factor / self.normalize.median
        return decoded_zinb_nll(x, self.decoder(z), relative_size, self.log_dispersion).mean() / x.shape[1]


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adadelta": partial(torch.optim.Adadelta, rho=0.95),
}
"""Optimisers of the second phase."""


class AdversarialPlan(EpochPlan):
    """A first phase with the likelihood alone, a second with all losses and the discriminator; one training run.

    Parameters
    ----------
    module
        Has a discriminator, and a loss of it.
    lr
        Learning rate of the first phase, by Adam.
    training_lr, optimizer
        Learning rate and optimiser of the second phase, ``"adam"`` or ``"adadelta"``.
    pretraining_fraction
        Part of the epochs that the first phase takes.
    discriminator_lr
        Learning rate of the discriminator, by Adam.
    discriminator_interval
        Steps after which the discriminator takes one.
    **kwargs
        Of :class:`EpochPlan`.
    """

    steps_itself = True
    module: SemiAAEModule

    def __init__(
        self,
        module: SemiAAEModule,
        *,
        lr: LearningRate,
        training_lr: LearningRate,
        optimizer: Literal["adam", "adadelta"],
        pretraining_fraction: Share,
        discriminator_lr: LearningRate,
        discriminator_interval: Count,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, lr=lr, **kwargs)
        self.automatic_optimization = not self.steps_itself
        self.training_lr = training_lr
        self.optimizer = optimizer
        self.pretraining_fraction = pretraining_fraction
        self.discriminator_lr = discriminator_lr
        self.discriminator_interval = discriminator_interval
        self._step = 0

    @property
    def training_epoch(self) -> int:
        """First epoch of the second phase."""
        return int(self.pretraining_fraction * self.trainer.max_epochs)

    def phases(self) -> dict[str, tuple[int, float]]:
        """Return the first epoch and the learning rate of each phase."""
        return {"pre-training": (0, self.lr), "training": (self.training_epoch, self.training_lr)}

    def configure_optimizers(self) -> Any:
        """One optimiser for each phase, and one for the discriminator."""
        discriminator = list(self.module.discriminator.parameters())
        own = {id(parameter) for parameter in discriminator}
        others = [parameter for parameter in self.module.parameters() if id(parameter) not in own]
        return [
            torch.optim.Adam(others, lr=self.lr, weight_decay=self.weight_decay),
            OPTIMIZERS[self.optimizer](others, lr=self.training_lr, weight_decay=self.weight_decay),
            torch.optim.Adam(discriminator, lr=self.discriminator_lr),
        ]

    def training_step(self, batch: dict[str, Tensor]) -> None:  # type: ignore[override]
        """Step the autoencoder, and in the second phase from time to time the discriminator."""
        adversarial = self.current_epoch >= self.training_epoch
        optimizer, discriminator = self.optimizers()[int(adversarial)], self.optimizers()[2]
        for group in optimizer.param_groups:
            group["lr"] = self._rate(self._step / (self.trainer.num_training_batches * self.trainer.max_epochs))
        losses = self.module.loss(batch) if adversarial else self.module.pretraining_loss(batch)
        optimizer.zero_grad()
        self.manual_backward(losses["loss"])
        optimizer.step()
        if adversarial and self._step % self.discriminator_interval == 0:
            discriminator.zero_grad()  # of what the generator's loss left there
            self.manual_backward(losses["discriminator_loss"])
            discriminator.step()
        self._step += 1
        self._add(losses)


class SemiAAE(DeepClusteringModel):
    """Semi-supervised adversarial autoencoder :cite:p:`Wang2023`.

    Parameters
    ----------
    adata
        AnnData set up with :meth:`setup_anndata`.
    registry
        Given by scvi-tools where the data come from a data module instead of an AnnData.
    recipe
        ``"default"`` or ``"paper"``.
    types
        Names of the known types; None for those that the labels name.
    **module_kwargs
        Arguments of the module: ``n_hidden``, ``n_latent``, ``n_decoder``, ``n_discriminator``, ``dispersion``, ``batch_norm``,
        ``noise``, ``input_dropout``, ``dropout``, ``reconstruction_weight``, ``classification_weight``, ``adversarial_weight``,
        ``guided``, ``max_value``.

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> adata.obs["some_labels"] = adata.obs["bulk_labels"].astype(str)
    >>> adata.obs.loc[adata.obs_names[100:], "some_labels"] = "Unknown"
    >>> scx.model.SemiAAE.setup_anndata(adata, labels_key="some_labels", unlabeled_category="Unknown")
    >>> model = scx.model.SemiAAE(adata)
    >>> model.train()
    >>> adata.obsm["X_semiaae"] = model.get_latent_representation()
    >>> adata.obs["predicted"] = model.predict()
    """

    _module_cls = SemiAAEModule
    _training_plan_cls = AdversarialPlan
    _data_splitter_cls = LabeledSplitter
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module={
                "n_hidden": (128,),
                "n_latent": 32,
                "n_decoder": (128,),
                "n_discriminator": (64,),
                "dispersion": "gene",
                "batch_norm": True,
                "noise": 0.0,
                "input_dropout": 0.5,
                "dropout": 0.2,
                "reconstruction_weight": 1.0,
                "classification_weight": 4.0,
                "adversarial_weight": 0.1,
                "guided": True,
                "max_value": 10.0,
            },
            train={
                "max_epochs": 10,
                "min_steps": 300,
                "batch_size": 128,
                "n_labeled": 16,
                "plan_kwargs": {
                    "lr": 3e-3,
                    "schedule": "cosine",
                    "training_lr": 3e-3,
                    "optimizer": "adam",
                    "pretraining_fraction": 0.2,
                    "discriminator_lr": 3e-4,
                    "discriminator_interval": 1,
                },
                "settle_batch_norm": False,
            },
        ),
        "paper": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=False,
            module={
                "n_hidden": (256, 128),
                "n_latent": 64,
                "n_decoder": (64, 128),
                "n_discriminator": (64, 128, 256),
                "dispersion": "gene-cell",
                "batch_norm": False,
                "noise": 1.0,
                "input_dropout": 0.0,
                "dropout": 0.2,
                "reconstruction_weight": 1.0,
                "classification_weight": 1.0,
                "adversarial_weight": 1.0,
                "guided": False,
                "max_value": None,
            },
            train={
                "max_epochs": 200,
                "min_steps": 0,
                "batch_size": 128,
                "n_labeled": 32,
                "plan_kwargs": {
                    "lr": 1e-3,
                    "schedule": "constant",
                    "training_lr": 0.01,
                    "optimizer": "adadelta",
                    "pretraining_fraction": 0.5,
                    "discriminator_lr": 1e-4,
                    "discriminator_interval": 5,
                },
                "settle_batch_norm": False,
            },
            cluster="gmm",
        ),
    }

    @typed
    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        *,
        recipe: str = "default",
        types: Sequence[str] | None = None,
        **module_kwargs: Any,
    ) -> None:
        if types is None:
            self._check_set_up(adata, registry)
            manager = None if adata is None else self._get_most_recent_anndata_manager(adata)
            types = [] if manager is None else list(self._labels(adata, manager.registry).categories)
        super().__init__(adata, registry, recipe=recipe, n_types=len(types), **module_kwargs)
        self.types_ = tuple(types)
        self._guidance: Guidance | None = None
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    @typed
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        size_factor_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "Unknown",
        **kwargs: Any,
    ) -> None:
        """Register the fields of an AnnData that the model reads.

        Parameters
        ----------
        adata, layer, size_factor_key, **kwargs
            As in :meth:`scx.model.InfoVAE.setup_anndata`.
        labels_key
            Column of ``obs`` with the types of some cells; None for no labels. It is read in training only, so that new cells
            need none.
        unlabeled_category
            Cells with this entry, an empty one or NaN are unlabelled.
        """
        if labels_key is not None and "source_registry" not in kwargs:
            check_key("labels_key", labels_key, "obs", adata.obs)
            check_unlabeled(adata.obs[labels_key], labels_key, unlabeled_category)
        setup_args = {
            "layer": layer,
            "size_factor_key": size_factor_key,
            "labels_key": labels_key,
            "unlabeled_category": unlabeled_category,
        }
        cls._register(adata, setup_args, **kwargs)

    @typed
    def predict(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray | None = None,
        batch_size: int | None = None,
        *,
        soft: bool = False,
    ) -> NDArray | pd.DataFrame:
        """Return the known type that each cell is most likely of.

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
        adata = self._data(adata)
        proba = self._of_cells(self.module.type_probabilities, adata, indices, batch_size)
        if not soft:
            return np.array(self.types_, dtype=object)[proba.argmax(axis=1)]
        names = adata.obs_names if indices is None else adata.obs_names[np.asarray(indices)]
        return pd.DataFrame(proba, index=names, columns=list(self.types_))

    def cluster(
        self,
        embedding: NDArray[np.float32],
        n_clusters: int | None,
        method: str,
        seed: int,
        resolution: float | None = None,
    ) -> Partition:
        """Cluster the cells that the model was trained on: known types by name, and groups that are new.

        Without labels, clusters are those of the embedding. With ``recipe="paper"``, embedding and probabilities of the types are
        clustered together, and a cluster is named by the vote of its labelled cells; clusters of one name stay apart. With the
        default recipe, each cell is of the type that the head gives it, but for the groups of cells that labels do not reach.

        Parameters
        ----------
        embedding, n_clusters, method, seed, resolution
            As in :meth:`scx.model._core.model.DeepClusteringModel.cluster`.
        """
        if not self.types_:
            return super().cluster(embedding, n_clusters, method, seed, resolution)
        proba = self._of_cells(self.module.type_probabilities, None, None, None)
        if not self.module.guided:
            return self._clusters_by_vote(embedding, proba, n_clusters, method, seed)
        if self._guidance is None:
            msg = (
                "Which cells labels do not reach is known in the session that trained the model only. Take the clusters that "
                "were written then, or `predict()` for the known types."
            )
            raise RuntimeError(msg)
        n_types, new = len(self.types_), self._guidance.group
        if n_clusters is not None:
            new = np.where(new < n_clusters - n_types, new, -1)
        n_new = int(new.max()) + 1
        every = [*self.types_, *new_names(n_new, self.types_)]
        present, labels = np.unique(np.where(new >= 0, n_types + new, proba.argmax(axis=1)), return_inverse=True)
        n_known = int((present < n_types).sum())
        reason = f"{n_known} of {n_types} known types, and {n_new} groups of cells that labels do not reach"
        found = Partition(
            labels,
            names=tuple(every[i] for i in present),
            info={"n_clusters": fixed_n_clusters(len(present), reason).info, "cluster": "types"},
        )
        confidence = proba.max(axis=1) * np.minimum(self._guidance.reach / UNREACHED, 1).astype(np.float32)
        return self._with_prediction(found, proba, confidence, self._guidance.calibration)

    def _clusters_by_vote(
        self, embedding: NDArray[np.float32], proba: NDArray[np.float32], n_clusters: int | None, method: str, seed: int
    ) -> Partition:
        """Cluster embedding and probabilities into as many clusters as known types if no number is given, and name the clusters."""
        codes = self._codes()
        features = np.concatenate([embedding, proba], axis=1)
        found = fit_partition(features, n_clusters or max(2, len(self.types_)), method, seed)
        if n_clusters is None:
            number = fixed_n_clusters(found.n_clusters, "as many as known types, and 2 at least").info
            found = replace(found, info={**found.info, "n_clusters": number})
        # a cluster with few labels for its size is not told by them
        share = np.bincount(found.labels, codes >= 0) / np.bincount(found.labels)
        told = share >= UNREACHED * (codes >= 0).mean()
        found = named_after(found, np.where(told[found.labels], codes, -1), self.types_, join=False)
        calibration = {"temperature": 1.0, "reason": "not calibrated: trained on all labels, none was held back"}
        return self._with_prediction(found, proba, proba.max(axis=1), calibration)

    def _with_prediction(
        self, found: Partition, proba: NDArray[np.float32], confidence: NDArray, calibration: Mapping[str, Any]
    ) -> Partition:
        prediction = Prediction(self.types_, proba, {"calibration": calibration})
        return replace(found, prediction=prediction, confidence=confidence)

    @staticmethod
    def _labels(adata: AnnData, registry: Mapping[str, Any]) -> "pd.Categorical[Any]":
        """Return the types given in an AnnData that was set up."""
        setup_args = registry["setup_args"]
        if setup_args["labels_key"] is None:
            return pd.Categorical([np.nan] * adata.n_obs)
        return given_labels(adata.obs[setup_args["labels_key"]], setup_args["unlabeled_category"])

    def _codes(self) -> NDArray[np.int64]:
        """Return the type of each cell of training, −1 where it is not given."""
        return self._labels(self.adata, self.registry_).set_categories(self.types_).codes.astype(np.int64)

    def _splitter_kwargs(self) -> dict[str, Any]:
        if not self.types_:
            return {}
        return {"codes": self._codes(), "n_labeled": self.recipes[self.recipe_].train["n_labeled"]}

    def _callbacks(self) -> list[Callback]:
        if not self.types_:
            return []
        codes = self._codes()
        if self.module.guided:
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
        """Have the head be as sure as the target that it learned from, by cross-entropy; it does not get there in a few epochs."""
        from scipy.optimize import minimize_scalar
        from scipy.special import log_softmax

        inverse_temperature = self.module.inverse_temperature
        inverse_temperature.fill_(1)
        log_proba = np.log(self._of_cells(self.module.type_probabilities, None, None, None) + np.finfo(np.float32).tiny)
        found = minimize_scalar(
            lambda factor: -(target * log_softmax(factor * log_proba, axis=1)).sum(), bounds=(0.1, 10), method="bounded"
        )
        inverse_temperature.fill_(found.x)

    def _guide(self, codes: NDArray[np.int64]) -> Guidance:
        counts = self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        seed = int(torch.randint(2**31 - 1, ()))  # from the generator that all else in training draws from
        neighbors = nearest_neighbors(counts, self._size_factors(), N_NEIGHBORS, seed)
        return guide(neighbors, self._principal_components(seed), codes, len(self.types_), seed)

    @torch.inference_mode()
    def _principal_components(self, seed: int) -> NDArray[np.float32]:
        """Return the principal components of the normalised expression, shape (n_cells, n_components), not holding that of all cells."""
        from sklearn.decomposition import PCA

        def normalized(rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.float32]]:
            return (self.module.normalized(tensors).cpu().numpy() for tensors in self._batches(self.adata, rows))

        n_cells = self.adata.n_obs
        drawn = np.random.default_rng(seed).permutation(n_cells)[:MAX_CELLS_OF_COMPONENTS]
        expression = np.concatenate(list(normalized(np.sort(drawn))))
        pca = PCA(min(N_COMPONENTS, *expression.shape), random_state=seed).fit(expression)
        return np.concatenate([pca.transform(batch) for batch in normalized()])
