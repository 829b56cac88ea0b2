"""A drawn pair whose similarity a checkpoint records, so that whoever loads it can tell that it computes the same.

H W pixels
"""

import numpy as np

from model.arrays import Pixels


def canary_pair(shape: tuple[int, int]) -> Pixels:
    """For so many channels (1 or 3) and such a side uint8 (2, H, W) or (2, H, W, 3).

    Soft waves, other ones in each colour, and the same with a bright square laid over a corner.
    """
    channels, side_px = shape
    y, x = np.mgrid[0:side_px, 0:side_px]
    waves = [((x * x + steepness * y * y) // side_px % 256).astype(np.uint8) for steepness in (3, 5, 7)[:channels]]
    plain = waves[0] if channels == 1 else np.stack(waves, axis=-1)
    marked = plain.copy()
    marked[: side_px // 4, : side_px // 4] = 230
    return np.stack([plain, marked])
