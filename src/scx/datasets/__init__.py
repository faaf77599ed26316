"""Real data that needs no network, and simulated data of any size."""

from ._pbmc68k import pbmc68k_reduced

__all__ = ["pbmc68k_reduced"]
