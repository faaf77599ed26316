"""How the functions of ``scx.datasets`` are called, and what their parameters do at the bounds of what they allow."""

from robustness.table import Target

TARGETS: list[Target] = []
