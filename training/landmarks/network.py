"""The landmark network in PyTorch, for training, and as the ONNX file that `model.imaging.landmarks` reads.

N frames, C channels, H W pixels
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from model.arrays import Points
from model.imaging.landmarks import TEMPLATE

SIDE_PX = 80
CHANNELS = (16, 32, 48, 64)
# Added to the deviation of a frame's grey levels, in grey levels, so that the noise of an even one is not amplified.
LEAST_DEVIATION = 5.0
OPSET, IR_VERSION = 17, 9


class Block(nn.Module):
    """Two convolutions beside their input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, channels), convolution(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return functional.relu(images + self.second(functional.relu(self.first(images))))


class LandmarkModel(nn.Module):
    """Convolutions that halve the frame four times, and one matrix. `template`, float64 (5, 2), is in shares."""

    def __init__(self, template: Points) -> None:
        super().__init__()
        self.template = torch.from_numpy(template).float()
        self.inter_eye = float(self.template[1, 0] - self.template[0, 0])
        sizes = (1, *CHANNELS)
        self.halve = nn.ModuleList(convolution(before, after, stride=2) for before, after in pairwise(sizes))
        self.blocks = nn.ModuleList(Block(channels) for channels in CHANNELS[1:])
        self.last = nn.Linear(CHANNELS[-1] * (SIDE_PX >> len(CHANNELS)) ** 2, 10)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Grey frames (N, 1, H, W), values 0 to 255 -> landmarks (N, 5, 2), in shares of the frame's side."""
        images = frames - frames.mean((1, 2, 3), keepdim=True)
        images = images / (images.pow(2).mean((1, 2, 3), keepdim=True).sqrt() + LEAST_DEVIATION)
        images = functional.relu(self.halve[0](images))
        for halve, block in zip(self.halve[1:], self.blocks, strict=True):
            images = block(functional.relu(halve(images)))
        moved: Tensor = self.last(images.flatten(1)).view(-1, 5, 2)
        return self.template + self.inter_eye * moved


def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after))


def to_onnx(model: LandmarkModel) -> bytes:
    """The network with batch normalisation in its kernels. Its landmarks are in pixels of the frame."""
    graph = _Graph()
    centred = graph.add("Sub", "frames", graph.add("ReduceMean", "frames", axes=[1, 2, 3]))
    squares = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1, 2, 3])
    deviation = graph.add("Add", graph.add("Sqrt", squares), graph.constant(np.array(LEAST_DEVIATION)))
    images = graph.add("Div", centred, deviation)
    images = graph.add("Relu", graph.convolve(images, model.halve[0]))
    for halve, block in zip(model.halve[1:], model.blocks, strict=True):
        assert isinstance(block, Block)
        images = graph.add("Relu", graph.convolve(images, halve))
        inner = graph.add("Relu", graph.convolve(images, block.first))
        images = graph.add("Relu", graph.add("Add", images, graph.convolve(inner, block.second)))
    scale = model.inter_eye * SIDE_PX
    matrix = model.last.weight.detach().numpy() * scale
    offset = model.last.bias.detach().numpy() * scale + model.template.numpy().ravel() * SIDE_PX
    rows = graph.add("Gemm", graph.add("Flatten", images), graph.constant(matrix), graph.constant(offset), transB=1)
    found = graph.add("Reshape", rows, graph.constant(np.array([-1, 5, 2])))
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "landmarks",
            [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["frames", 1, SIDE_PX, SIDE_PX])],
            [helper.make_tensor_value_info(found, TensorProto.FLOAT, ["frames", 5, 2])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(made, {TEMPLATE: json.dumps(model.template.double().numpy().round(4).tolist())})
    onnx.checker.check_model(made, full_check=True)
    file: bytes = made.SerializeToString(deterministic=True)
    return file


class _Graph:
    """Collects the nodes and constants of an ONNX graph; each node's output is named by its number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of the new node's output."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, values: np.ndarray[Any, Any]) -> str:
        """The name of a new constant, int64 or float32."""
        name = f"constant_{len(self.constants)}"
        kind = np.int64 if values.dtype.kind == "i" else np.float32
        self.constants.append(numpy_helper.from_array(values.astype(kind), name))
        return name

    def convolve(self, images: str, layer: nn.Module) -> str:
        """The name of the output of a `convolution`."""
        kernels, normalisation = layer.children()
        assert isinstance(kernels, nn.Conv2d)
        weights, shift = _fold(kernels, *_statistics(normalisation))
        stride = kernels.stride[0]
        return self.add(
            "Conv", images, self.constant(weights), self.constant(shift), pads=[1] * 4, strides=[stride] * 2
        )


def _statistics(normalisation: nn.Module) -> Iterator[Tensor]:
    """The mean, variance, scale and shift of an `nn.BatchNorm2d`."""
    assert isinstance(normalisation, nn.BatchNorm2d)
    assert normalisation.running_mean is not None
    assert normalisation.running_var is not None
    yield from (normalisation.running_mean, normalisation.running_var + normalisation.eps)
    yield from (normalisation.weight.detach(), normalisation.bias.detach())


def _fold(kernels: nn.Conv2d, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor) -> tuple[Any, Any]:
    factor = scale / variance.sqrt()
    return (kernels.weight.detach() * factor[:, None, None, None]).numpy(), (shift - mean * factor).numpy()
