"""Models for tests."""

import scx
from scx._rng import global_seed

FAST = {"batch_size": 100, "enable_progress_bar": False}


def untrained_semiaae(adata, **kwargs):
    scx.model.SemiAAE.setup_anndata(adata, labels_key="given" if "given" in adata.obs else None)
    with global_seed(0):
        return scx.model.SemiAAE(adata, **kwargs)


def trained_infovae(adata, max_epochs=4, seed=0, plan_kwargs=None, **module_kwargs):
    with global_seed(seed):
        scx.model.InfoVAE.setup_anndata(adata)
        model = scx.model.InfoVAE(adata, **module_kwargs)
        model.train(max_epochs, plan_kwargs=plan_kwargs, **FAST)
    return model
