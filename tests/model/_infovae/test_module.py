import torch

import scx
from batches import batch_of
from models import trained_infovae


def test_loss_is_equation_3(pbmc):
    """Whatever the weights, the loss is their sum of terms; α moves weight from each cell's divergence to the aggregate's."""
    scx.model.InfoVAE.setup_anndata(pbmc)
    for alpha, lambda_ in ((0.0, 1.0), (0.5, 3.0), (1.0, 10.0)):
        module = scx.model.InfoVAE(pbmc, alpha=alpha, lambda_=lambda_).module
        losses = module.loss(batch_of(torch.tensor(pbmc.X[:50].toarray())))
        expected = (
            losses["reconstruction_loss"]
            + (1 - alpha) * losses["kl_divergence"]
            + (alpha + lambda_ - 1) * losses["mmd"]
        )
        torch.testing.assert_close(losses["loss"], expected)


def test_paper_objective_is_that_of_equation_12(pbmc):
    """The article's final objective has no divergence of single cells: α = 1, so that both phases agree."""
    scx.model.InfoVAE.setup_anndata(pbmc)
    module = scx.model.InfoVAE(pbmc, recipe="paper", n_clusters=4).module
    batch = batch_of(torch.tensor(pbmc.X[:50].toarray()), target=torch.full((50, 4), 0.25))
    losses = module.loss(batch)
    expected = (
        losses["reconstruction_loss"]
        + module.config.lambda_ * losses["mmd"]
        + module.config.gamma * losses["clustering_loss"]
    )
    torch.testing.assert_close(losses["loss"], expected)


def test_cells_of_one_batch_do_not_depend_on_each_other(pbmc):
    model = trained_infovae(pbmc, 2)
    batch = batch_of(torch.tensor(pbmc.X[:20].toarray()))
    other = batch_of(batch.x[:3])
    torch.testing.assert_close(model.module.embed(batch)[:3], model.module.embed(other))
