"""A generated pair of crops whose similarity every checkpoint records, to verify that a loaded network is unchanged.

H W pixels
"""

import numpy as np

from model.arrays import Pixels


def canary_pair(shape: tuple[int, int]) -> Pixels:
    """Channels (1 or 3) and side in pixels -> uint8 (2, H, W) or (2, H, W, 3).

    The first crop has smooth waves that differ between channels, the second the same with a bright square in a corner.
    """
    # Must not change: checkpoints record the similarity of exactly these pixels.
    channels, side_px = shape
    y, x = np.mgrid[0:side_px, 0:side_px]
    waves = [((x * x + steepness * y * y) // side_px % 256).astype(np.uint8) for steepness in (3, 5, 7)[:channels]]
    plain = waves[0] if channels == 1 else np.stack(waves, axis=-1)
    marked = plain.copy()
    marked[: side_px // 4, : side_px // 4] = 230
    return np.stack([plain, marked])
