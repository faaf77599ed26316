"""Draw the logo: three clusters of cells around the letter x. ``python docs/logo.py`` writes the SVG and the PNG."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle

STATIC = Path(__file__).parent / "_static"
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "scx"
    fig = plt.figure(figsize=(5.12, 5.12))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    ax.axis("off")
    # One arm of the x per cluster: cells in a sunflower pattern, the largest in the centre.
    for color, angle in zip(COLORS, np.pi / 4 + np.pi / 2 * np.arange(4), strict=True):
        center = 0.6 * np.array([np.cos(angle), np.sin(angle)])
        for cell in range(30):
            radius, turn = 0.062 * np.sqrt(cell), 2.39996 * cell
            at = center + radius * np.array([np.cos(turn), np.sin(turn)])
            ax.add_patch(Circle(at, 0.046 - 0.0006 * cell, color=color, lw=0))
    for direction in ((1, 1), (1, -1)):
        line = 0.2 * np.array([[-1, -1], [1, 1]]) * direction
        ax.plot(*line.T, color="#888888", lw=14, solid_capstyle="round")
    fig.savefig(STATIC / "logo.svg", transparent=True, metadata={"Date": None})
    fig.savefig(STATIC / "logo.png", transparent=True, dpi=100)


if __name__ == "__main__":
    main()
