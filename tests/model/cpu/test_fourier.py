"""The convolution by Fourier transforms compared with OpenVINO's own."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from model.cpu.fourier import TILE_PX, correlate
from model.cpu.graph import Layers
from model.cpu.operators import constant


@pytest.mark.parametrize(("side", "kernel"), [(7, 7), (20, 7), (21, 7), (48, 7), (33, 10), (40, 2)])
def test_correlation_equals_the_convolution(side: int, kernel: int) -> None:
    """In one tile, whole tiles, and tiles that reach beyond the image."""
    assert kernel <= TILE_PX
    drawn = np.random.default_rng(0)
    kernels = drawn.normal(size=(5, 3, kernel, kernel)) / kernel
    images = drawn.normal(size=(2, 3, side, side)).astype(np.float32)
    given = ops.parameter([-1, 3, side, side], ov.Type.f32)
    direct = ops.convolution(given, constant(kernels), [1, 1], [0, 0], [0, 0], [1, 1])
    model = ov.Model([correlate(given.output(0), kernels), direct.output(0)], [given])
    found, expected = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(images).values()
    assert found.shape == expected.shape == (2, 5, side - kernel + 1, side - kernel + 1)
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize(("kernel", "channels", "stride", "direct"), [
    (7, 32, 1, 0), (7, 31, 1, 1), (6, 32, 1, 1), (7, 32, 2, 1)
])  # fmt: skip
def test_only_large_convolutions_are_transformed(kernel: int, channels: int, stride: int, direct: int) -> None:
    layers = Layers(tensors={"a.weight": np.ones((32, channels, kernel, kernel), np.float16)})
    given = ops.parameter([-1, channels, 40, 40], ov.Type.f32)
    model = ov.Model([layers.convolve(given.output(0), "a", stride=stride)], [given])
    assert sum(node.get_type_name() == "Convolution" for node in model.get_ops()) == direct
