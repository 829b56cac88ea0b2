"""Gradient histograms as OpenVINO operators, equal to those of `networks.gradients` up to rounding.

B batch, H W pixels, F values of histograms
"""

import openvino as ov
from openvino import opset13 as ops

from model.arrays import Array
from model.cpu.operators import constant, flatten, join, whole
from model.imaging import gradient_cells
from model.imaging.gradient_cells import DIRECTIONS, LEAST_LENGTH, LEAST_MEAN, SCALES, Scale


def histograms(grey: ov.Output, side_px: int) -> ov.Output:
    """(B, 1, H, W) standardised -> (B, F)."""
    return join([_of_scale(grey, side_px, scale) for scale in SCALES], axis=1)


def _of_scale(grey: ov.Output, side_px: int, scale: Scale) -> ov.Output:
    if scale.shrink > 1:
        sides = [scale.shrink] * 2
        grey = ops.avg_pool(grey, sides, [0, 0], [0, 0], sides, True).output(0)
    padded = ops.pad(grey, whole(0, 0, 1, 1), whole(0, 0, 1, 1), "edge").output(0)
    squares = ops.power(_filtered(padded, gradient_cells.DERIVATIVES), constant(2))
    length = ops.add(ops.sqrt(ops.reduce_sum(squares, whole(1), True)), constant(LEAST_LENGTH))
    directed = ops.relu(_filtered(padded, gradient_cells.DIRECTED))
    kinds = [
        ops.divide(ops.multiply(directed, directed), length).output(0),
        ops.relu(_filtered(padded, gradient_cells.SECOND)).output(0),
    ]
    means, around = constant(scale.means(side_px)), constant(scale.surroundings(side_px))
    found = []
    for values in kinds:
        cells = _between(values, means)
        nearby = _between(ops.reduce_sum(cells, whole(1), True).output(0), around)
        shares = ops.sqrt(ops.divide(cells, ops.add(nearby, constant(LEAST_MEAN)))).output(0)
        found.append(flatten(shares, DIRECTIONS * scale.cells(side_px) ** 2))
    return join(found, axis=1)


def _filtered(padded: ov.Output, kernels: Array) -> ov.Output:
    return ops.convolution(padded, constant(kernels), [1, 1], [0, 0], [0, 0], [1, 1]).output(0)


def _between(images: ov.Output, shares: ov.Output) -> ov.Output:
    """Sums of the rows and columns of (B, C, S, S) by shares (S, N) -> (B, C, N, N)."""
    return ops.matmul(shares, ops.matmul(images, shares, False, False), True, False).output(0)
