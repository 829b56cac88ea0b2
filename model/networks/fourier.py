"""Convolution with a large kernel by Fourier transforms of small tiles (overlap-save), for serving on a CPU.

In the frequency domain a convolution is a product: a 7x7 kernel on tiles of 20x20 pixels takes a seventh of the
multiplications. The transforms are matrix products, which are faster than the fast Fourier transform for small tiles
and many channels. Real and imaginary parts have an axis of their own, so that all arithmetic is real.

B batch, C channels, H W pixels; K the kernel's side, N a tile's side, S = N - K + 1 the side of a tile's output;
R rows of tiles, L tiles in a row, T = B R L tiles; M = N // 2 + 1 frequencies along a row, F = N M frequencies in all
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

TILE_PX = 20


class FourierConvolution(nn.Module):
    """Computes an `nn.Conv2d` with a square kernel and without stride, padding or groups; for inference only."""

    rows: Tensor
    columns: Tensor
    rows_back: Tensor
    columns_back: Tensor
    kernels: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Conv2d, tile_px: int = TILE_PX) -> None:
        super().__init__()
        self.out_channels, self.in_channels, self.kernel_px, width = layer.weight.shape
        plain = layer.stride == (1, 1) and layer.padding == (0, 0) and layer.dilation == (1, 1) and layer.groups == 1
        if width != self.kernel_px or not plain:
            raise ValueError("only square kernels without stride, padding, dilation or groups can be transformed")
        self.tile_px = tile_px
        self.step_px = tile_px - self.kernel_px + 1
        self.frequencies = tile_px // 2 + 1
        bias = torch.zeros(self.out_channels) if layer.bias is None else layer.bias.detach()
        self.register_buffer("rows", _along_rows(tile_px))
        self.register_buffer("columns", _along_columns(tile_px))
        self.register_buffer("rows_back", _along_rows_back(tile_px)[-self.step_px :])
        self.register_buffer("columns_back", _along_columns_back(tile_px)[-2 * self.step_px :])
        self.register_buffer("kernels", _transformed(layer.weight.detach(), tile_px))
        self.register_buffer("bias", bias.clone())

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H - K + 1, W - K + 1), in memory as channels_last."""
        height, width = (side - self.kernel_px + 1 for side in images.shape[2:])
        down, across = -(-height // self.step_px), -(-width // self.step_px)
        padding = (0, across * self.step_px - width, 0, down * self.step_px - height)
        padded = functional.pad(images, padding) if any(padding) else images
        spectra = self._multiply(self._transform(padded))
        tiles = self._transform_back(spectra).view(self.step_px, self.step_px, -1, down, across, self.out_channels)
        pasted = tiles.permute(2, 3, 0, 4, 1, 5)  # (B, R, S, L, S, C')
        whole = torch.add(pasted, self.bias, out=tiles.new_empty(pasted.shape))
        whole = whole.view(-1, down * self.step_px, across * self.step_px, self.out_channels)
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    def _transform(self, images: Tensor) -> Tensor:
        """(B, C, H, W), padded to whole tiles -> (2, F, T, C)."""
        size, step = self.tile_px, self.step_px
        tiles = images.permute(0, 2, 3, 1).unfold(1, size, step).unfold(2, size, step)  # (B, R, L, C, N, N)
        by_pixel = tiles.permute(4, 5, 0, 1, 2, 3).reshape(size, size, -1)
        rows = torch.matmul(self.rows, by_pixel)  # (N, 2M, TC)
        spectra = torch.mm(self.columns, rows.view(2 * size, -1))  # (2N, MTC)
        return spectra.view(2, size * self.frequencies, -1, self.in_channels)

    def _multiply(self, spectra: Tensor) -> Tensor:
        """(2, F, T, C) -> (2, F, T, C'): a complex product per frequency, from three real products (Gauss)."""
        real, imaginary = spectra
        both, for_imaginary, for_real = self.kernels.chunk(3)
        shared = torch.bmm(real + imaginary, both)
        product = shared.new_empty(2, *shared.shape)
        torch.baddbmm(shared, imaginary, for_real, alpha=-1, out=product[0])
        torch.baddbmm(shared, real, for_imaginary, out=product[1])
        return product

    def _transform_back(self, spectra: Tensor) -> Tensor:
        """(2, F, T, C') -> (S, S, TC'): the pixels of each tile that do not depend on its neighbours."""
        rows = torch.mm(self.columns_back, spectra.view(2 * self.tile_px, -1))  # (2S, MTC')
        return torch.matmul(self.rows_back, rows.view(self.step_px, 2 * self.frequencies, -1))


def _along_rows(side: int) -> Tensor:
    """(2M, N): N real values -> the real parts of M frequencies, then their imaginary parts."""
    spectra = torch.fft.rfft(torch.eye(side, dtype=torch.float64)).T
    return torch.cat([spectra.real, spectra.imag]).float()


def _along_columns(side: int) -> Tensor:
    """(2N, 2N): N complex values, real and imaginary parts alternating -> N real parts, then N imaginary parts."""
    spectra = torch.fft.fft(torch.eye(side, dtype=torch.float64)).T
    real = torch.stack([spectra.real, -spectra.imag], 2).flatten(1)
    imaginary = torch.stack([spectra.imag, spectra.real], 2).flatten(1)
    return torch.cat([real, imaginary]).float()


def _along_columns_back(side: int) -> Tensor:
    """(2N, 2N): the inverse of `_along_columns`."""
    values = torch.fft.ifft(torch.eye(side, dtype=torch.float64)).T
    real = torch.cat([values.real, -values.imag], 1)
    imaginary = torch.cat([values.imag, values.real], 1)
    return torch.stack([real, imaginary], 1).flatten(0, 1).float()


def _along_rows_back(side: int) -> Tensor:
    """(N, 2M): the inverse of `_along_rows`."""
    frequencies = torch.eye(side // 2 + 1, dtype=torch.complex128)
    return torch.cat([torch.fft.irfft(part, n=side) for part in (frequencies, 1j * frequencies)]).T.float()


def _transformed(kernels: Tensor, side: int) -> Tensor:
    """(C', C, K, K) -> (3F, C, C'): a, then b - a, then a + b of the kernels' transforms a + ib."""
    # Flipped, because PyTorch's convolution is a cross-correlation.
    spectra = torch.fft.rfft2(kernels.double().flip(2, 3), s=(side, side)).permute(2, 3, 1, 0).flatten(0, 1)
    real, imaginary = spectra.real, spectra.imag
    return torch.cat([real, imaginary - real, real + imaginary]).float().contiguous()
