"""dlib's face recognition network (`dlib_face_recognition_resnet_model_v1.dat`, public domain) as an ONNX graph.

dlib writes integers as a byte with their length and sign, then their bytes, smallest first (`dlib/serialize.h`). Each
layer begins with its name as a text, and a layer with weights goes on with a tensor: a version, four sizes, and the
values as float32 (`dlib/dnn/tensor.h`, `layers.h`). Layers come in the order of computation. The network is `anet_type`
of dlib's `dnn_face_recognition_ex.cpp`.

N pictures, C channels
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from model.errors import CheckpointError

Values = NDArray[np.float32]

SIDE_PX = 150
DIMENSION = 128
# dlib's input_rgb_image_sized: what is subtracted from red, green and blue before they are divided by 256.
MEANS, DIVISOR = (122.782, 117.001, 104.298), 256.0
# The channels of each level, its blocks, and whether the first of them halves the sides.
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
# The layers with weights. The byte before the length says that the length has one byte. The matrix has its numbers of
# outputs, 128, and of inputs, 256, before its values.
_SIZES = rb"\x01\x80\x02\x00\x01"
LAYER = re.compile(rb"\x01[\x04-\x08](con_[0-9]|affine_2?|fc_2(?=%b))(?:%b)?\x01\x02" % (_SIZES, _SIZES))
MAX_VALUES = 2_000_000


def to_onnx(data: bytes) -> bytes:
    """The network as an ONNX file: crops (N, 3, 150, 150), red first, 0 to 255 -> (N, 128).

    Raises CheckpointError if it is not this network.
    """
    layers = list(_layers(data))
    kinds = [kind for kind, _ in layers]
    convolutions = 1 + 2 * sum(blocks for _, blocks, _ in LEVELS)
    if kinds != ["con_", "affine_"] * convolutions + ["fc_"]:
        raise CheckpointError(
            f"not dlib's face recognition network: expected {convolutions} convolutions with affine layers and a matrix"
        )
    return _Builder([values for _, values in layers]).build()


def _layers(data: bytes) -> Iterator[tuple[str, Values]]:
    """The kind and the weights of each layer that has some."""
    at = 0
    while found := LAYER.search(data, at):
        sizes, at = [], found.end()
        for _ in range(4):
            size, at = _integer(data, at)
            sizes.append(size)
        count = int(np.prod(sizes, dtype=np.int64))
        if not 0 < count <= MAX_VALUES or at + 4 * count > len(data):
            raise CheckpointError("the file of dlib is damaged or cut off")
        yield found.group(1).decode().rstrip("0123456789"), np.frombuffer(data, "<f4", count, at)
        at += 4 * count


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A packed integer, and where it ends."""
    length = data[at] & 0x0F if at < len(data) else 0
    value = int.from_bytes(data[at + 1 : at + 1 + length], "little")
    return (-value if at < len(data) and data[at] & 0x80 else value), at + 1 + length


@dataclass
class _Builder:
    """Builds the graph from the layers' weights, in order."""

    weights: list[Values]
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    def build(self) -> bytes:
        channels, side = 32, (SIDE_PX - 7) // 2 + 1
        middle = self._tensor(np.array(MEANS, np.float32)[:, None, None])
        normal = self._node("Mul", self._node("Sub", "crops", middle), self._tensor(np.array(1 / DIVISOR, np.float32)))
        images = self._node("Relu", self._convolve(normal, 3, channels, 7, 2))
        images = self._node("MaxPool", images, kernel_shape=[3, 3], strides=[2, 2])
        side = (side - 3) // 2 + 1
        for width, blocks, halves in LEVELS:
            for number in range(blocks):
                images, side = self._block(images, side, channels, width, halves and number == 0)
                channels = width
        rows = self._node("Flatten", self._node("GlobalAveragePool", images))
        matrix = self._tensor(self._take(channels * DIMENSION).reshape(channels, DIMENSION))
        self.nodes.append(helper.make_node("MatMul", [rows, matrix], ["embedding"]))
        entry = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["N", 3, SIDE_PX, SIDE_PX])
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", DIMENSION])
        stored = [numpy_helper.from_array(value, name) for name, value in self.tensors.items()]
        graph = helper.make_graph(self.nodes, "dlib", [entry], [output], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data

    def _block(self, images: str, side: int, entering: int, leaving: int, halves: bool) -> tuple[str, int]:
        """A residual block. Where dlib adds values of different sizes, the missing ones are 0."""
        first = self._node("Relu", self._convolve(images, entering, leaving, 3, 2 if halves else 1))
        second = self._convolve(first, leaving, leaving, 3, 1)
        if halves:
            images = self._node("AveragePool", images, kernel_shape=[2, 2], strides=[2, 2])
            pooled, convolved = side // 2, (side - 3) // 2 + 1
            side = max(pooled, convolved)
            images = self._pad(images, leaving - entering, side - pooled)
            second = self._pad(second, 0, side - convolved)
        return self._node("Relu", self._node("Add", second, images)), side

    def _convolve(self, images: str, entering: int, leaving: int, kernel: int, stride: int) -> str:
        """A convolution, with dlib's padding, and the affine layer after it."""
        shape = leaving, entering, kernel, kernel
        weights = self._take(int(np.prod(shape)) + leaving)
        affine = self._take(2 * leaving)
        kernels, bias = weights[:-leaving].reshape(shape), weights[-leaving:]
        scale, shift = affine[:leaving], affine[leaving:]
        border = kernel // 2 if stride == 1 else 0
        return self._node(
            "Conv",
            images,
            self._tensor(kernels * scale[:, None, None, None]),
            self._tensor(bias * scale + shift),
            strides=[stride] * 2,
            pads=[border] * 4,
        )

    def _pad(self, images: str, channels: int, pixels: int) -> str:
        """Zeros after the channels, below and to the right."""
        if not channels and not pixels:
            return images
        return self._node("Pad", images, self._tensor(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))

    def _take(self, count: int) -> Values:
        """The weights of the next layer. Raises CheckpointError unless there are so many."""
        values = self.weights.pop(0)
        if len(values) != count:
            raise CheckpointError(f"not dlib's face recognition network: a layer has {len(values)} values, not {count}")
        return values

    def _tensor(self, values: NDArray[np.generic]) -> str:
        name = f"tensor_{len(self.tensors)}"
        self.tensors[name] = values
        return name

    def _node(self, operator: str, *inputs: str, **attributes: list[int]) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name
