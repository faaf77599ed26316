import numpy as np
import pytest
import torch

from batches import batch_of
from models import untrained_semiaae


def test_losses_by_hand(groups):
    """Softmax, logistic function and logarithms in numpy; nothing corrupted."""
    model = untrained_semiaae(groups, classification_weight=3.0, adversarial_weight=0.5)
    module = model.module.eval()
    batch = batch_of(torch.tensor(groups.X[:50].toarray()), target=torch.rand(50, 4))
    batch.target[10:20] = 0  # cells without a target
    z = module.embed(batch)
    losses = {name: value.item() for name, value in module.loss(batch).items()}
    score, logits = (x.detach().double().numpy() for x in (module.discriminator(z)[:, 0], module.head(z)))
    target = batch.target.double().numpy()
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert losses["generator_loss"] == pytest.approx(-np.log(1 / (1 + np.exp(-score))).mean(), rel=1e-4)
    assert losses["classification_loss"] == pytest.approx(-(target * np.log(proba)).sum() / target.sum(), rel=1e-4)
    assert losses["loss"] == pytest.approx(
        losses["reconstruction_loss"] + 3 * losses["classification_loss"] + 0.5 * losses["generator_loss"], rel=1e-5
    )
    assert module.pretraining_loss(batch)["loss"].item() == pytest.approx(losses["reconstruction_loss"], rel=1e-5)
    torch.manual_seed(0)
    loss = module.loss(batch)["discriminator_loss"].item()
    torch.manual_seed(0)
    true = module.discriminator(torch.randn_like(z))[:, 0].detach().double().numpy()
    expected = -np.log(1 / (1 + np.exp(-true))).mean() - np.log(1 - 1 / (1 + np.exp(-score))).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_reconstruction_is_the_reference_likelihood(groups):
    from scvi.distributions import ZeroInflatedNegativeBinomial

    module = untrained_semiaae(groups, dispersion="gene-cell").module.eval()
    x = torch.tensor(groups.X[:50].toarray())
    batch = batch_of(x, 7 * torch.rand(50, 1))
    log_mean, logits, log_dispersion = module.decoder(module.embed(batch)).chunk(3, dim=1)
    law = ZeroInflatedNegativeBinomial(
        mu=log_mean.exp() * batch.size_factor, theta=log_dispersion.exp(), zi_logits=logits
    )
    found = module.pretraining_loss(batch)["reconstruction_loss"]
    torch.testing.assert_close(found, -law.log_prob(x).mean(), rtol=1e-4, atol=1e-4)
