"""Model of ScInfoVAE and its recipes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from scx._checks import warn
from scx._types import typed
from scx.model._core.model import DeepClusteringModel
from scx.model._core.recipe import ModuleConfig, Recipe
from scx.model._core.source import Batch, row_numbers

from .config import InfoVAEConfig, TwoPhaseConfig
from .module import InfoVAEModule
from .phases import ClusteringPhase, TwoPhasePlan


class InfoVAE(DeepClusteringModel):
    """Variational autoencoder that keeps mutual information with the data :cite:p:`Pan2023`.

    Parameters
    ----------
    {parameters}

    Notes
    -----
    {training}

    Examples
    --------
    >>> import scx
    >>> adata = scx.datasets.pbmc68k_reduced()
    >>> scx.model.InfoVAE.setup_anndata(adata)
    >>> model = scx.model.InfoVAE(adata, n_clusters=8)
    >>> model.train()
    >>> adata.obsm["X_infovae"] = model.get_latent_representation()
    """

    knows_batches = True
    _module_cls = InfoVAEModule
    _training_plan_cls = TwoPhasePlan
    module: InfoVAEModule
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": Recipe(
            n_top_genes=2000,
            min_cells=1,
            use_flagged_genes=True,
            module=InfoVAEConfig(
                n_hidden=(128,),
                n_latent=10,
                n_clusters=None,
                likelihood="zinb",
                dispersion="gene",
                alpha=0.5,
                lambda_=1.0,
                gamma=10.0,
                kernel="imq",
                batch_norm=True,
                noise=0.0,
                max_value=10.0,
            ),
            training=TwoPhaseConfig(
                max_epochs=40,
                min_steps=600,
                batch_size=256,
                lr=3e-3,
                schedule="cosine",
                clustering_lr=3e-4,
                clustering_fraction=0.25,
                refresh_interval=1,
            ),
        ),
        "paper": Recipe(
            n_top_genes=500,
            min_cells=0.01,
            use_flagged_genes=False,
            module=InfoVAEConfig(
                n_hidden=(500, 256, 256),
                n_latent=10,
                n_clusters=None,
                likelihood="zinb",
                dispersion="gene-cell",
                alpha=1.0,
                lambda_=100.0,
                gamma=1.0,
                kernel="imq",
                batch_norm=False,
                noise=0.0,
                max_value=None,
            ),
            training=TwoPhaseConfig(
                max_epochs=1100,
                batch_size=256,
                lr=1e-3,
                clustering_lr=1e-4,
                clustering_fraction=500 / 1100,
                refresh_interval=1,
            ),
        ),
    }

    def _make_module(self, config: ModuleConfig) -> InfoVAEModule:
        assert isinstance(config, InfoVAEConfig)
        return InfoVAEModule(self.summary_stats.n_vars, config, self.preparation_.n_batches)

    @typed
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
        *,
        give_mean: bool = True,
    ) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        adata
            AnnData with the fields of the one the model was set up with; None for that one.
        indices
            Cells to embed, in this order; None for all.
        batch_size
            Cells per batch; does not change the means.
        give_mean
            The mean of each cell's posterior q(z | x); False draws from it.

        Returns
        -------
        Embedding, shape (n_cells, n_latent).
        """
        return self._for_cells(self.module.embed if give_mean else self.module.draw, adata, indices, batch_size)

    @typed
    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
    ) -> float:
        r"""Return the evidence lower bound, mean over cells, one draw of z.

        It is :math:`\ln p(x | z) - KL(q(z | x) \,\|\, p(z))`.

        Better models have higher values, whatever α, λ and γ they were trained with.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_latent_representation`.
        """
        return float(self._decoded(self.module.elbo, adata, indices, batch_size).mean())

    @typed
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | NDArray[Any] | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Return the expression that the decoder gives at the mean of each cell's posterior.

        If the model has batches, it is the expression of a cell in its batch.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_latent_representation`.

        Returns
        -------
        Cells × genes. Counts are those of a cell with the median size factor and without dropouts.
        """
        expression = self._decoded(self.module.expression, adata, indices, batch_size)
        return pd.DataFrame(expression, self._cell_names(adata, indices), self.preparation_.genes)

    def _decoded(
        self,
        function: Callable[[Batch], Tensor],
        adata: AnnData | None,
        indices: Sequence[int] | NDArray[Any] | None,
        batch_size: int | None,
    ) -> NDArray[np.float32]:
        """Return what a function of the module that decodes gives for each cell.

        Warn if the batch of a cell is unknown to the decoder.
        """
        found = self._for_cells(function, adata, indices, batch_size)
        if self.preparation_.batches is None:
            return found
        codes = self.preparation_.batch_codes(self.adata if adata is None else adata)
        is_unknown = np.ones(len(found), dtype=bool)
        if codes is not None:
            is_unknown = codes[slice(None) if indices is None else row_numbers(indices, len(codes))] < 0
        if is_unknown.any():
            warn(
                f"{is_unknown.sum()} of {len(found)} cells are of no batch that the model was trained on, by "
                f"`adata.obs[{self.preparation_.batch_key!r}]`. They are decoded as the mean of its batches, which may be "
                f"unlike theirs. Its batches are {', '.join(map(repr, self.preparation_.batches.tolist()))}."
            )
        return found

    def _callbacks(self) -> list[Callback]:
        return [] if self.module.config.n_clusters is None else [ClusteringPhase(self.embed_while_training)]
