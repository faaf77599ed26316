"""Cells with labels and clusters."""

import anndata as ad
import pandas as pd


def annotated(labels, clusters, **kwargs):
    obs = pd.DataFrame({"labels": pd.Categorical(list(map(str, labels))), "clusters": list(map(str, clusters))})
    return ad.AnnData(obs=obs.set_index(obs.index.astype(str)), **kwargs)
