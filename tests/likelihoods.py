"""Counts and parameters of likelihoods for tests."""

import numpy as np
import torch


def count_model(seed: int, n: int, n_genes: int, log_range: float, *, per_gene: bool) -> list[torch.Tensor]:
    """Counts with many zeros and parameters over ten to the ± `log_range`, in float64."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(10 ** rng.uniform(-2, 4, (n, n_genes))) * (rng.random((n, n_genes)) < 0.3)
    mean = 10 ** rng.uniform(-log_range, log_range, (n, n_genes))
    dispersion = 10 ** rng.uniform(-log_range, log_range, n_genes if per_gene else (n, n_genes))
    logits = rng.uniform(-50, 50, (n, n_genes))
    return [torch.tensor(values, dtype=torch.float64) for values in (x, mean, dispersion, logits)]


def log_prob(law, x, mean, dispersion, logits):
    return law(mu=mean, theta=dispersion, zi_logits=logits).log_prob(x)
