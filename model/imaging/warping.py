"""Pictures through a similarity transform, into a square.

H W pixels
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transform

from model.arrays import Pixels
from model.imaging.alignment import SimilarityTransform

# `warp` samples at this many times the square's resolution, then averages.
OVERSAMPLING = 2


def warp(picture: Image.Image, transform: SimilarityTransform, side_px: int) -> Pixels:
    """A picture (mode L or RGB) through the transform -> uint8 (H, W) or (H, W, 3) of that side, its edges repeated."""
    # A picture with a finer resolution is first reduced by averaging whole pixels, only in the part that is shown and
    # never below the sampled resolution. Sampling it directly would alias.
    fine = SimilarityTransform(transform.matrix * OVERSAMPLING, transform.shift * OVERSAMPLING)
    factor = math.ceil(1 / fine.scale)
    box = _box(*_extent(fine.inverse(), side_px * OVERSAMPLING), factor, picture.size)
    part = np.asarray(picture.reduce(factor, box) if factor > 1 else picture.crop(box))
    # From pixels of `part` to sampled pixels; OpenCV has the first pixel's centre at 0, the transform at 0.5.
    matrix = fine.matrix * factor
    shift = fine.matrix @ np.array(box[:2]) + fine.shift + matrix @ np.array([0.5, 0.5]) - 0.5
    size = (side_px * OVERSAMPLING,) * 2
    sampled = cv2.warpAffine(part, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(sampled, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _extent(inverse: SimilarityTransform, side_px: int) -> tuple[list[float], list[float]]:
    """The lowest and the highest x and y of what a square of that side shows of a picture."""
    low, high = [], []
    for at, row in zip(inverse.shift.tolist(), (side_px * inverse.matrix).tolist(), strict=True):
        low.append(at + sum(min(0.0, each) for each in row))
        high.append(at + sum(max(0.0, each) for each in row))
    return low, high


def _box(low: list[float], high: list[float], factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture of this size between these points, with a margin of two reduced pixels."""
    margin = 2 * factor
    left, top = (max(0, min(math.floor(at) - margin, end - 1)) for at, end in zip(low, size, strict=True))
    right = max(left + 1, min(math.ceil(high[0]) + margin, size[0]))
    bottom = max(top + 1, min(math.ceil(high[1]) + margin, size[1]))
    return left, top, right, bottom


def sample(grey: Pixels, transform: SimilarityTransform, side_px: int) -> NDArray[np.float32]:
    """A picture uint8 (H, W) through the transform -> float32 (H, W) of that side.

    Edges are repeated, up to two sides away, and then black. A small change of the transform changes the values a
    little; `warp` rounds them to whole grey levels, and OpenCV 4 rounds positions to 1/32 pixel.
    """
    factor = max(1, round(1 / transform.scale))
    inverse = transform.inverse()
    low, high = _extent(inverse, side_px)
    box = _box(low, high, factor, grey.shape[::-1])
    part = grey[box[1] : box[3], box[0] : box[2]]
    if factor > 1:
        part = np.asarray(Image.fromarray(part).reduce(factor))
    height, width = part.shape
    before = max(box[0] - low[0], box[1] - low[1]) / factor
    behind = max((high[0] - box[0]) / factor - width, (high[1] - box[1]) / factor - height)
    margin = 1 + min(math.ceil(max(0, before, behind)), 2 * side_px)
    bordered = cv2.copyMakeBorder(part, *(margin,) * 4, cv2.BORDER_REPLICATE).astype(np.float32)
    first, second = (inverse.matrix / factor).tolist()
    x, y = ((inverse.shift - box[:2]) / factor + margin).tolist()
    numbers = (*first, x, *second, y)
    sampled = Image.fromarray(bordered).transform((side_px, side_px), Transform.AFFINE, numbers, Resampling.BILINEAR)
    return np.asarray(sampled)
