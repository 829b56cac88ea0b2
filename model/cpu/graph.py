"""Builds a checkpoint's network as an OpenVINO model: crops as the service has them to embeddings.

B batch, C channels, H W pixels, F features, D embedding
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from model.arrays import Array, Tensors
from model.checkpoint import Checkpoint
from model.cpu.fourier import correlate
from model.cpu.gradients import histograms
from model.cpu.operators import (
    constant,
    crop,
    flatten,
    join,
    luma,
    mean_of_unit_rows,
    mirror,
    resize,
    standardise,
    unit_length,
    whole,
)
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import KERNELS, NetworkConfig, ResidualConfig

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


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """A model from crops uint8 (B, H, W) or (B, H, W, 3) to embeddings float32 (B, D), for any B."""
    config, preprocessing = checkpoint.header.network, checkpoint.header.preprocessing
    channels, side = config.input_shape
    layers = Layers(tensors=checkpoint.tensors)
    pixels = ops.parameter([-1, side, side] if channels == 1 else [-1, side, side, channels], ov.Type.u8)
    images = _normalise(_to_unit(pixels, channels), preprocessing)
    return ov.Model([EMBEDDINGS[type(config)](images, layers, config)], [pixels])


def _to_unit(pixels: ov.Node, channels: int) -> ov.Output:
    """uint8 (B, H, W) or (B, H, W, 3), 0 to 255 -> float32 (B, C, H, W), 0 to 1."""
    # Bytes are moved before they become numbers: in the other order OpenVINO takes several times as long for it.
    images = ops.unsqueeze(pixels, whole(1)) if channels == 1 else ops.transpose(pixels, whole(0, 3, 1, 2))
    return ops.divide(ops.convert(images, "f32"), constant(255)).output(0)


def _normalise(images: ov.Output, config: PreprocessingConfig) -> ov.Output:
    if config.standardised:
        return standardise(images)
    return ops.divide(ops.subtract(images, constant(config.mean)), constant(config.std)).output(0)


def _embed_siamese(images: ov.Output, layers: Layers, config: NetworkConfig) -> ov.Output:
    """The twin of `networks.siamese`, without dropout."""
    step = 4 if config.batch_norm else 3  # convolution, normalisation, ReLU, pooling
    for number in range(len(KERNELS)):
        layer = number * step
        normalisation = f"twin.{layer + 1}" if config.batch_norm else None
        images = ops.relu(layers.convolve(images, f"twin.{layer}", normalisation)).output(0)
        if number < len(KERNELS) - 1:
            images = ops.max_pool(images, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    rows = layers.multiply(flatten(images, config.features), "fully_connected")
    return (ops.sigmoid(rows) if config.embedding_activation == "sigmoid" else ops.relu(rows)).output(0)


def _embed_residual(images: ov.Output, layers: Layers, config: ResidualConfig) -> ov.Output:
    """The towers of `networks.residual`."""
    if config.flip_average:
        images = join([images, mirror(images, config.side_px)], axis=0)
    grey = standardise(luma(images)) if config.grey_views or config.gradient_values else images
    parts = []
    for number, share in enumerate(config.views):
        region = _central_region(grey if number in config.grey_views else images, share, config)
        parts.append(_embed_region(region, layers, f"towers.{number}", config))
    embeddings = ops.divide(join(parts, axis=1), constant(sqrt(len(parts)))).output(0)
    if config.thumbnail_cells:
        joined = [embeddings, _thumbnail(images, layers, config)]
        if config.gradient_values:
            joined.insert(1, _gradients(grey, layers, config))
        return ops.divide(join(joined, axis=1), constant(sqrt(len(joined)))).output(0)
    return mean_of_unit_rows(embeddings) if config.flip_average else embeddings


def _gradients(grey: ov.Output, layers: Layers, config: ResidualConfig) -> ov.Output:
    """(B, 1, H, W) standardised -> (B, gradient_values) of unit length, as `networks.gradients` computes them."""
    return unit_length(layers.multiply(histograms(grey, config.side_px), "gradients"))


def _thumbnail(images: ov.Output, layers: Layers, config: ResidualConfig) -> ov.Output:
    """(B, C, H, W) -> (B, thumbnail_values) of unit length."""
    # Products of matrices, which average rows and then columns, take a fraction of the time of OpenVINO's pooling.
    count, cell_px = config.thumbnail_cells, config.side_px // config.thumbnail_cells
    average = constant(np.repeat(np.eye(count), cell_px, axis=0) / cell_px)
    means = ops.matmul(average, ops.matmul(images, average, False, False), True, False)
    cells = flatten(means.output(0), config.thumbnail_means)
    centred = ops.subtract(cells, constant(layers.tensors["thumbnail.mean"]))
    return unit_length(ops.matmul(centred, constant(layers.tensors["thumbnail.projection"]), False, True).output(0))


def _central_region(images: ov.Output, share: float, config: ResidualConfig) -> ov.Output:
    """The square around the centre with that share of the side, in `view_px`."""
    taken = round(config.side_px * share)
    square = crop(images, (config.side_px - taken) // 2, taken)
    return square if taken == config.view_px else resize(square, taken, config.view_px)


def _embed_region(region: ov.Output, layers: Layers, name: str, config: ResidualConfig) -> ov.Output:
    """(B, C, H, W) -> (B, D / R) of unit length, by one tower."""
    trunk = f"{name}.trunk"
    images = layers.rectify(layers.convolve(region, f"{trunk}.0", f"{trunk}.1", 2, 1), f"{trunk}.2")
    layer = 3
    for stage, count in enumerate(config.blocks):
        for number in range(count):
            images = _block(images, layers, f"{trunk}.{layer}", 2 if stage > 0 and number == 0 else 1)
            layer += 1
    rows = flatten(images, config.features)
    return unit_length(layers.multiply(rows, f"{name}.fully_connected", f"{name}.normalisation"))


def _block(images: ov.Output, layers: Layers, name: str, stride: int) -> ov.Output:
    """Two 3x3 convolutions and a shortcut."""
    first = layers.convolve(images, f"{name}.body.0", f"{name}.body.1", stride, 1)
    second = layers.convolve(layers.rectify(first, f"{name}.body.2"), f"{name}.body.3", f"{name}.body.4", 1, 1)
    if layers.has(f"{name}.shortcut.0"):
        images = layers.convolve(images, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)
    return layers.rectify(ops.add(second, images).output(0), f"{name}.activation")


# What builds the part from images to embeddings, for each kind of network.
EMBEDDINGS: dict[type, Callable[[ov.Output, Layers, Any], ov.Output]] = {
    NetworkConfig: _embed_siamese,
    ResidualConfig: _embed_residual,
}
