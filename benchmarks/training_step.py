"""What training through scvi-tools and Lightning costs beside a bare torch loop that does the same steps.

Both train the same network with the same loss on the same counts on one thread, in turn; the ratio of every pair is
reported. `counts` makes each batch from raw counts as the model does; `dense` is given all cells normalised and dense
beforehand, which no data larger than memory allows.
"""

import argparse
import statistics
import time
import warnings

import scanpy as sc
import torch
from lightning.pytorch import Callback
from torch.nn import functional as F

import scx
from scx.model._core.losses import nt_xent
from scx.model._core.networks import mlp_encoder


class Stopwatch(Callback):
    """Time all steps and epochs, without what is done once before and after."""

    def on_train_start(self, trainer, plan):
        self.start = time.perf_counter()

    def on_train_end(self, trainer, plan):
        self.seconds = time.perf_counter() - self.start


def through_model(adata, n_epochs, batch_size):
    scx.model.Contrastive.setup_anndata(adata)
    model = scx.model.Contrastive(adata, n_neighbors=0)
    watch = Stopwatch()
    model.train(n_epochs, batch_size=batch_size, enable_progress_bar=False, callbacks=[watch])
    return watch.seconds, model


def bare(model, counts, n_epochs, batch_size, dense):
    """Train a fresh copy of the network; `dense` holds normalised cells, or None to normalise batch by batch."""
    module = model.module
    recipe = model.recipes["default"]
    encoder = mlp_encoder(counts.shape[1], recipe.module.n_hidden, recipe.module.n_latent)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=recipe.training.lr)
    n_steps = counts.shape[0] // batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps * n_epochs)
    start = time.perf_counter()
    for _ in range(n_epochs):
        order = torch.randperm(counts.shape[0])
        for cells in order[: n_steps * batch_size].split(batch_size):
            if dense is None:
                x = torch.from_numpy(counts[cells.numpy()].toarray())
                x = module.normalize(x, x.sum(dim=1, keepdim=True))
            else:
                x = dense[cells]
            first, second = encoder(F.dropout(torch.cat([x, x]), module.config.mask_rate)).chunk(2)
            loss = nt_xent(first, second, module.config.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sc.settings.verbosity = 0
    print(f"{args.cells} cells, batches of {args.batch_size}, {args.epochs} epochs, {args.pairs} pairs, one thread")
    for n_genes in (500, 2000):
        adata = scx.datasets.simulate(args.cells, n_genes, rng=0)
        ratios: dict[str, list[float]] = {"counts": [], "dense": []}
        for _ in range(args.pairs):
            seconds, model = through_model(adata, args.epochs, args.batch_size)
            x = torch.from_numpy(adata.X.toarray())
            with torch.inference_mode():
                dense = model.module.normalize(x, x.sum(dim=1, keepdim=True)).clone()
            for name, data in (("counts", None), ("dense", dense)):
                ratios[name].append(seconds / bare(model, adata.X, args.epochs, args.batch_size, data))
        for name, values in ratios.items():
            print(
                f"{n_genes:>5} genes, scx / bare loop on {name:<7} median {statistics.median(values):.3f} "
                f"(min {min(values):.3f}, max {max(values):.3f}); last run {args.cells * args.epochs / seconds:,.0f} cells/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
