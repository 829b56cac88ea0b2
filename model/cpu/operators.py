"""What networks compute beside their layers, as OpenVINO operators, each equal to PyTorch's up to rounding.

B batch, C channels, H W pixels, S side, F features, D embedding
"""

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from model.arrays import Array
from model.imaging.preprocessing import LUMA, MIN_DEVIATION

# As in PyTorch's `normalize`; OpenVINO compares it with a squared length.
MIN_SQUARED_LENGTH = 1e-12**2


def constant(values: Array | float) -> ov.Output:
    """A constant, float32."""
    return ops.constant(np.ascontiguousarray(values, np.float32)).output(0)


def whole(*numbers: int) -> ov.Output:
    """A constant of whole numbers, such as axes."""
    return ops.constant(np.array(numbers, np.int64)).output(0)


def flatten(images: ov.Output, features: int) -> ov.Output:
    """(B, C, H, W) -> (B, F)."""
    return ops.reshape(images, whole(-1, features), False).output(0)


def standardise(images: ov.Output) -> ov.Output:
    """Each crop gets mean 0 and deviation 1 over all its channels."""
    axes = whole(1, 2, 3)
    # Twice, because the rounding of the first mean would be amplified where a crop is uniform.
    centred = ops.subtract(images, ops.reduce_mean(images, axes, True))
    centred = ops.subtract(centred, ops.reduce_mean(centred, axes, True))
    deviation = ops.sqrt(ops.reduce_mean(ops.multiply(centred, centred), axes, True))
    return ops.divide(centred, ops.maximum(deviation, constant(MIN_DEVIATION))).output(0)


def luma(images: ov.Output) -> ov.Output:
    """(B, 3, H, W), red, green and blue -> (B, 1, H, W), grey."""
    shares = constant(np.array(LUMA)[:, None, None])
    return ops.reduce_sum(ops.multiply(images, shares), whole(1), True).output(0)


def mirror(images: ov.Output, side_px: int) -> ov.Output:
    """(B, C, S, S) -> the same shape, left and right exchanged."""
    return ops.gather(images, whole(*reversed(range(side_px))), whole(3)).output(0)


def crop(images: ov.Output, start: int, side_px: int) -> ov.Output:
    """(B, C, S, S) -> (B, C, side_px, side_px), the square that begins at `start` in both directions."""
    ends = start + side_px
    return ops.slice(images, whole(start, start), whole(ends, ends), whole(1, 1), whole(2, 3)).output(0)


def resize(images: ov.Output, side_px: int, wanted_px: int) -> ov.Output:
    """(B, C, side_px, side_px) -> (B, C, wanted_px, wanted_px), bilinear and antialiased."""
    weights = constant(resize_weights(side_px, wanted_px))
    return ops.matmul(ops.matmul(weights, images, False, False), weights, False, True).output(0)


def resize_weights(side_px: int, wanted_px: int) -> Array:
    """The shares of `side_px` pixels in each of `wanted_px` pixels, float64 (wanted_px, side_px).

    As PyTorch's `interpolate(..., mode="bilinear", antialias=True)`: a triangle around each pixel's centre.
    """
    scale = side_px / wanted_px
    reach = max(scale, 1.0)
    centres = scale * (np.arange(wanted_px) + 0.5)
    distances = np.abs(np.arange(side_px) + 0.5 - centres[:, None]) / reach
    triangles = np.maximum(0.0, 1.0 - distances)
    return np.asarray(triangles / triangles.sum(1, keepdims=True))


def unit_length(rows: ov.Output) -> ov.Output:
    """(B, D) -> (B, D), each row with length 1."""
    return ops.normalize_l2(rows, whole(1), MIN_SQUARED_LENGTH, "max").output(0)


def mean_of_unit_rows(halves: ov.Output) -> ov.Output:
    """(2B, D), the rows of crops and then of their mirror images -> (B, D), the directions between them."""
    straight, mirrored = ops.split(halves, ops.constant(np.int64(0)), 2).outputs()
    return unit_length(ops.add(straight, mirrored).output(0))


def join(parts: Sequence[ov.Output], axis: int) -> ov.Output:
    """Joins batches along an axis."""
    return ops.concat(list(parts), axis).output(0)
