"""The layers of a checkpoint's network as OpenVINO operators, each equal to PyTorch's up to rounding.

B batch, C channels, H W pixels, F features, D embedding
"""

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from model.arrays import Array, Tensors
from model.cpu.fourier import correlate
from model.cpu.operators import constant

# PyTorch's default of batch normalisation.
EPSILON = 1e-5
# Marks a conversion of stored weights, so that OpenVINO keeps them in half precision.
DECOMPRESSION = "decompression_0"
# From this kernel and this number of channels on, Fourier transforms save more than they cost.
LARGE_KERNEL_PX = 7
LARGE_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Makes layers from a checkpoint's tensors, by their names. Batch normalisation becomes part of the layer before.

    Images are float32 (B, C, H, W), rows float32 (B, F).
    """

    tensors: Tensors

    def has(self, name: str) -> bool:
        """Whether the checkpoint has this layer."""
        return f"{name}.weight" in self.tensors

    def convolve(
        self, images: ov.Output, name: str, normalisation: str | None = None, stride: int = 1, padding: int = 0
    ) -> ov.Output:
        """An `nn.Conv2d` and the `nn.BatchNorm2d` after it, if there is one."""
        scale, shift = self._normalisation(name, normalisation)
        kernels = self.tensors[f"{name}.weight"] * scale[:, None, None, None]
        if _is_large(kernels) and (stride, padding) == (1, 0):
            product = correlate(images, kernels)
        else:
            strides, borders = [stride, stride], [padding, padding]
            product = ops.convolution(images, constant(kernels), strides, borders, borders, [1, 1]).output(0)
        return ops.add(product, constant(shift[:, None, None])).output(0)

    def multiply(self, rows: ov.Output, name: str, normalisation: str | None = None) -> ov.Output:
        """An `nn.Linear` and the `nn.BatchNorm1d` after it, if there is one: (B, F) -> (B, D)."""
        scale, shift = self._normalisation(name, normalisation)
        # Large matrices stay as they are stored: a copy in single precision would take twice the memory.
        matrix = ops.convert(ops.constant(self.tensors[f"{name}.weight"]), "f32")
        matrix.get_rt_info()[DECOMPRESSION] = ""
        product = ops.matmul(rows, matrix, False, True)
        return ops.add(ops.multiply(product, constant(scale)), constant(shift)).output(0)

    def rectify(self, images: ov.Output, name: str) -> ov.Output:
        """An `nn.PReLU`."""
        return ops.prelu(images, constant(self.tensors[f"{name}.weight"])).output(0)

    def _normalisation(self, layer: str, name: str | None) -> tuple[Array, Array]:
        """What the layer's outputs, without its bias, are multiplied by, and what is then added; float64 (C,)."""
        weight, bias = self.tensors[f"{layer}.weight"], self.tensors.get(f"{layer}.bias")
        shift = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
        if name is None:
            return np.ones(len(weight)), shift
        scale, offset, mean, variance = (
            self.tensors[f"{name}.{each}"].astype(np.float64)
            for each in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + EPSILON)
        return scale, (shift - mean) * scale + offset


def _is_large(kernels: Array) -> bool:
    """Kernels (C', C, K, K)."""
    leaving, entering, kernel_px, _ = kernels.shape
    return bool(kernel_px >= LARGE_KERNEL_PX and min(entering, leaving) >= LARGE_CHANNELS)
