"""Real data that needs no network, and simulated data of any size."""

from scx.datasets._pbmc68k import pbmc68k_reduced
from scx.datasets._polynomial import polynomial_manifold
from scx.datasets._simulate import simulate

__all__ = ["pbmc68k_reduced", "polynomial_manifold", "simulate"]
