"""Which parts of two crops speak for one person and which against: each patch is blurred away, and the pair compared
again.

B crops, H W pixels, G patches a side, N blurred copies
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from model.arrays import Pixels

GRID = 6
"""G"""
# Of the blur, in sides of a patch: it leaves the patch's light and colour, and none of its shapes.
BLUR = 0.5
# Keeps a similarity of 0 or 1 from becoming infinite.
LEAST = 1e-12


def blur_patches(crop: Pixels) -> list[Pixels]:
    """uint8 (H, W) or (H, W, 3) -> N = G * G copies, each without the shapes of one patch, row by row."""
    height, width = crop.shape[:2]
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR * max(height, width) / GRID)
    copies = []
    for rows in _ranges(height):
        for columns in _ranges(width):
            copy = crop.copy()
            copy[rows, columns] = blurred[rows, columns]
            copies.append(copy)
    return copies


def influence(similarity: float, without: Sequence[float]) -> NDArray[np.float64]:
    """The similarity of a pair and that without each patch (N,) -> (G, G) log odds that each patch adds for one person;
    negative where it speaks against.
    """
    return (_log_odds(similarity) - _log_odds(without)).reshape(GRID, GRID)


def _ranges(length: int) -> list[slice]:
    """G ranges of pixels that are as equal as they can be."""
    edges = np.linspace(0, length, GRID + 1).round().astype(int)
    return [slice(start, end) for start, end in pairwise(edges)]


def _log_odds(similarity: float | Sequence[float]) -> NDArray[np.float64]:
    p = np.clip(np.asarray(similarity, dtype=np.float64), LEAST, 1 - LEAST)
    odds: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return odds
