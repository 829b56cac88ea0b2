"""Convolution with a large kernel by Fourier transforms of small tiles (overlap-save).

In the frequency domain a correlation is a product: a 7x7 kernel on tiles of 20x20 pixels takes a sixth of the
multiplications. The transforms are products with matrices, and all arithmetic is real.

B batch, C channels, H W pixels; K the kernel's side, N a tile's side, S = N - K + 1 the side of a tile's output;
R tiles in a row and in a column; M = N // 2 + 1 frequencies along a row, F = N M frequencies in all
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from model.arrays import Array
from model.cpu.operators import constant, crop, join, whole

TILE_PX = 20
FREQUENCIES = TILE_PX // 2 + 1


def correlate(images: ov.Output, kernels: Array) -> ov.Output:
    """(B, C, H, H) and kernels (C', C, K, K) -> (B, C', H - K + 1, H - K + 1), without padding."""
    side_px = images.get_partial_shape()[2].get_length()
    leaving, entering, kernel_px, _ = kernels.shape
    step, wanted = TILE_PX - kernel_px + 1, side_px - kernel_px + 1
    tiles = -(-wanted // step)
    spectra = _transform(images, side_px, step, tiles)
    # (B, C, 2, R, N, R, M) -> (F, BRR, 2C)
    apart = ops.reshape(spectra, whole(-1, entering, 2, tiles, TILE_PX, tiles, FREQUENCIES), False)
    by_frequency = ops.transpose(apart, whole(4, 6, 0, 3, 5, 2, 1))
    rows = ops.reshape(by_frequency, whole(TILE_PX * FREQUENCIES, -1, 2 * entering), False)
    products = ops.matmul(rows, constant(_transformed(kernels)), False, False)
    # (F, BRR, 2C') -> (B, C', R, 2N, RM)
    apart = ops.reshape(products, whole(TILE_PX, FREQUENCIES, -1, tiles, tiles, 2, leaving), False)
    by_image = ops.transpose(apart, whole(2, 6, 3, 5, 0, 4, 1))
    columns = ops.reshape(by_image, whole(-1, leaving, tiles, 2 * TILE_PX, tiles * FREQUENCIES), False)
    found = _transform_back(columns.output(0), leaving, step, tiles)
    return found if tiles * step == wanted else crop(found, 0, wanted)


def _transform(images: ov.Output, side_px: int, step: int, tiles: int) -> ov.Output:
    """(B, C, H, H) -> (B, C, 2RN, RM), the spectra of tiles; pixels beyond the image are 0."""
    offsets = np.arange(side_px)[:, None] - step * np.arange(tiles)  # (H, R), of a pixel in each tile
    inside = (offsets >= 0) & (offsets < TILE_PX)
    waves = np.exp(-2j * np.pi / TILE_PX * offsets[..., None] * np.arange(TILE_PX)) * inside[..., None]  # (H, R, N)
    half = waves[..., :FREQUENCIES].reshape(side_px, -1)
    along_rows = ops.matmul(images, constant(np.concatenate([half.real, half.imag], 1)), False, False)
    parts = join(ops.split(along_rows, ops.constant(np.int64(3)), 2).outputs(), axis=2)
    return ops.matmul(constant(_as_real(waves.reshape(side_px, -1).T)), parts, False, False).output(0)


def _transform_back(columns: ov.Output, channels: int, step: int, tiles: int) -> ov.Output:
    """(B, C', R, 2N, RM) -> (B, C', RS, RS): the pixels of each tile that do not depend on its neighbours."""
    waves = np.exp(2j * np.pi / TILE_PX * np.arange(step)[:, None] * np.arange(TILE_PX)) / TILE_PX  # (S, N)
    # Rows of real and imaginary parts alternate, so that they can be read as one row of both.
    alternating = _as_real(waves).reshape(2, step, -1).swapaxes(0, 1).reshape(2 * step, -1)
    along_columns = ops.matmul(constant(alternating), columns, False, False)
    rows = ops.reshape(along_columns, whole(-1, 2 * tiles * FREQUENCIES), False)
    # Frequencies that stand for themselves and for their mirror image count twice.
    halves = waves[:, :FREQUENCIES] * np.where(np.arange(FREQUENCIES) % (TILE_PX // 2) == 0, 1, 2)
    of_tiles = np.kron(np.eye(tiles), halves.T)  # (RM, RS)
    pixels = ops.matmul(rows, constant(np.concatenate([of_tiles.real, -of_tiles.imag])), False, False)
    # Reshaped at last: OpenVINO 2026.4 would take a bias that is added to the product of four axes for one a column.
    return ops.reshape(pixels, whole(-1, channels, tiles * step, tiles * step), False).output(0)


def _transformed(kernels: Array) -> Array:
    """(C', C, K, K) -> (F, 2C, 2C'): what multiplies real and imaginary parts of each frequency."""
    spectra = np.fft.rfft2(kernels.astype(np.float64), s=(TILE_PX, TILE_PX)).conj()
    by_frequency = spectra.transpose(2, 3, 1, 0).reshape(-1, kernels.shape[1], kernels.shape[0])
    real, imaginary = by_frequency.real, by_frequency.imag
    return np.block([[real, imaginary], [-imaginary, real]])


def _as_real(matrix: Array) -> Array:
    """A complex matrix (A, B) -> real (2A, 2B), which multiplies real and then imaginary parts."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
