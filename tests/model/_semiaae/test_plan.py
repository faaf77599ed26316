from itertools import pairwise

import numpy as np
import torch

from batches import batch_of
from models import untrained_semiaae
from scx._rng import global_seed


def test_discriminator_learns_from_its_own_loss_only(groups):
    """Its loss gives no gradient to the encoder, and its first step does not depend on the generator's loss."""
    module = untrained_semiaae(groups).module
    batch = batch_of(torch.tensor(groups.X[:50].toarray()), target=torch.zeros(50, 4))
    module.loss(batch)["discriminator_loss"].backward()
    assert all(p.grad is None for p in [*module.encoder.parameters(), *module.decoder.parameters()])
    assert all(p.grad is not None for p in module.discriminator.parameters())

    def after_one_step(adversarial_weight):
        model = untrained_semiaae(groups, adversarial_weight=adversarial_weight, guided=False)
        with global_seed(0):
            model.train(1, batch_size=400, plan_kwargs={"pretraining_fraction": 0.0}, enable_progress_bar=False)
        return torch.cat([p.detach().flatten() for p in model.module.discriminator.parameters()])

    torch.testing.assert_close(after_one_step(0.0), after_one_step(1e4))


def test_phases_and_interval(groups):
    """Before the second phase neither head nor discriminator change; the discriminator then at every third step."""
    from lightning.pytorch import Callback

    class Watch(Callback):
        def on_train_batch_end(self, trainer, plan, *args):
            states.append([torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts])

    model = untrained_semiaae(groups)
    parts = [model.module.head, model.module.discriminator]
    states = [[torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]]
    plan = {"pretraining_fraction": 0.5, "discriminator_interval": 3}
    model.train(4, batch_size=100, plan_kwargs=plan, callbacks=[Watch()], enable_progress_bar=False)
    changed = np.array([[not torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in pairwise(states)])
    np.testing.assert_array_equal(changed[:, 0], np.arange(16) >= 8)
    np.testing.assert_array_equal(changed[:, 1], (np.arange(16) >= 8) & (np.arange(16) % 3 == 0))
    history = model.history
    assert history["reconstruction_loss"].index.tolist() == [0, 1, 2, 3]
    for name in ("classification_loss", "generator_loss", "discriminator_loss"):
        assert history[name].index.tolist() == [2, 3]
        assert 0 < history[name].to_numpy().min() < history[name].to_numpy().max() < 10


def test_paper_optimiser_of_each_phase(groups):
    from lightning.pytorch import Callback

    class Watch(Callback):
        def on_train_end(self, trainer, plan):
            found.extend((type(o).__name__, o.param_groups[0]["lr"]) for o in trainer.optimizers)

    found = []
    untrained_semiaae(groups, recipe="paper").train(2, callbacks=[Watch()], enable_progress_bar=False)
    assert found == [("Adam", 1e-3), ("Adadelta", 0.01), ("Adam", 1e-4)]
