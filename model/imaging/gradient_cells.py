"""The filters and cells of gradient histograms, as arrays that PyTorch and OpenVINO compute with.

The histograms are those of oriented gradients (Dalal and Triggs, "Histograms of oriented gradients for human
detection", 2005), and likewise of second derivatives, of the crop at half its size. Every cell's values are divided by
those of the cells around it, so that light and contrast do not count.

S side, N cells in a row
"""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

# Directions of the gradient, and as many kinds of second derivatives: four directions, each light or dark.
DIRECTIONS = 8
# Added to the length of a gradient, and to the mean of the cells around a cell, in deviations of the crop.
LEAST_LENGTH, LEAST_MEAN = 1e-3, 4e-3
# How many cells on each side are around a cell.
REACH = 2


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The crop with its sides divided by `shrink`, and its cells of `cell_px`, one each `step_px`."""

    shrink: int
    cell_px: int
    step_px: int

    def cells(self, side_px: int) -> int:
        """How many cells a row of a crop of that side has."""
        return (side_px // self.shrink - self.cell_px) // self.step_px + 1

    def means(self, side_px: int) -> Matrix:
        """(S / shrink, N): each cell's share of every pixel of a row."""
        shares = np.zeros((side_px // self.shrink, self.cells(side_px)), np.float32)
        for cell, column in enumerate(shares.T):
            column[cell * self.step_px :][: self.cell_px] = 1 / self.cell_px
        return shares

    def surroundings(self, side_px: int) -> Matrix:
        """(N, N): each cell's share of those around it in a row."""
        apart = np.abs(np.subtract.outer(*[np.arange(self.cells(side_px))] * 2))
        near = (apart <= REACH).astype(np.float32)
        shares: Matrix = near / near.sum(0)
        return shares


SCALES = (Scale(shrink=2, cell_px=8, step_px=4),)
# The least side whose half has a cell.
MIN_SIDE_PX = 16


def histogram_values(side_px: int) -> int:
    """How many values the histograms of a crop of that side have together."""
    return sum(2 * DIRECTIONS * scale.cells(side_px) ** 2 for scale in SCALES)


def _kernels() -> tuple[Matrix, Matrix, Matrix]:
    across = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    angles = [2 * pi * number / DIRECTIONS for number in range(DIRECTIONS)]
    directed = [cos(angle) * across + sin(angle) * across.T for angle in angles]
    second = np.array([[0, 0, 0], [1, -2, 1], [0, 0, 0]])
    mixed = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]) / 2
    diagonal = (second + second.T) / 2
    light = [second, second.T, diagonal + mixed, diagonal - mixed]
    kinds = [across, across.T], directed, [*light, *(-each for each in light)]
    one, two, three = (np.stack(kind).astype(np.float32)[:, None] for kind in kinds)
    return one, two, three


# Kernels float32 (K, 1, 3, 3): the two derivatives, those in eight directions, and the second ones.
DERIVATIVES, DIRECTED, SECOND = _kernels()
