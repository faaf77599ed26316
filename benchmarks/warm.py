"""Import this to load the libraries of all arms and compile their code on a few cells."""

import warnings

import scx
from arms import parse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    cells = scx.datasets.pbmc68k_reduced()
    for name in (
        "pca20:leiden",
        "contrastive:default:max_epochs=1,cluster='leiden',train_kwargs={'enable_progress_bar':False}",
    ):
        parse(name).fit(cells, 8, 0)
