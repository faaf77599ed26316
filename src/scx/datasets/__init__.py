"""Real data that needs no network, and simulated data of any size."""

from ._pbmc68k import pbmc68k_reduced
from ._simulate import simulate

__all__ = ["pbmc68k_reduced", "simulate"]
