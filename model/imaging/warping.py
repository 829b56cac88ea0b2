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
    box = _box(fine, side_px * OVERSAMPLING, factor, picture.size)
    part = np.asarray(picture.reduce(factor, box) if factor > 1 else picture.crop(box))
    # From pixels of `part` to sampled pixels; OpenCV has the first pixel's centre at 0, the transform at 0.5.
    matrix = fine.matrix * factor
    shift = fine.matrix @ np.array(box[:2]) + fine.shift + matrix @ np.array([0.5, 0.5]) - 0.5
    size = (side_px * OVERSAMPLING,) * 2
    sampled = cv2.warpAffine(part, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(sampled, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _box(transform: SimilarityTransform, side_px: int, factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture of this size that the transform shows, with a margin of two reduced pixels."""
    corners = transform.inverse()(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float64))
    margin, limit = 2 * factor, np.array(size)
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def sample(grey: Image.Image, transform: SimilarityTransform, side_px: int) -> NDArray[np.float32]:
    """A picture (mode L) through the transform -> float32 (H, W) of that side.

    Edges are repeated, up to two sides away, and then black. A small change of the transform changes the values a
    little; `warp` rounds them to whole grey levels, and OpenCV 4 rounds positions to 1/32 pixel.
    """
    factor = max(1, round(1 / transform.scale))
    box = _box(transform, side_px, factor, grey.size)
    part = np.asarray(grey.reduce(factor, box) if factor > 1 else grey.crop(box), np.float32)
    inverse = transform.inverse()
    corners = (
        inverse(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float64)) - box[:2]
    ) / factor
    beyond = math.ceil(max(0, -corners.min(), (corners - part.shape[::-1]).max()))
    margin = 1 + min(beyond, 2 * side_px)
    bordered = cv2.copyMakeBorder(part, *(margin,) * 4, cv2.BORDER_REPLICATE)
    matrix = inverse.matrix / factor
    shift = (inverse.shift - box[:2]) / factor + margin
    numbers = np.column_stack([matrix, shift]).ravel().tolist()
    sampled = Image.fromarray(bordered).transform((side_px, side_px), Transform.AFFINE, numbers, Resampling.BILINEAR)
    return np.asarray(sampled)
