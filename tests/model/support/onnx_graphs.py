"""Tiny ONNX networks of every shape that is imported or refused."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from model.checkpoint import Checkpoint, Header
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import GRAPH, OnnxConfig
from model.onnx import trial
from tests.conftest import describe

# Each trial takes a process; tests that are about something else have each graph tried out once.
try_out_once = cache(trial.try_out)

SIDE_PX = 32
CHANNELS = 6
DIMENSION = 8


def random_values(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def tiny_graph(
    *,
    layout: str = "nchw",
    batch: int | str = "N",
    side: int | str = SIDE_PX,
    channels: int = 3,
    name: str = "input.1",
    flatten: Sequence[int] = (-1, CHANNELS),
    first: Sequence[NodeProto] = (),
    more: Sequence[NodeProto] = (),
    domain: str = "",
) -> bytes:
    """A convolution, PReLU, the mean over the picture, and a matrix: crops -> (B, DIMENSION).

    `first` are operators from `name` to the value "crops", `more` are added at the end; both may break the graph.
    """
    weights: dict[str, NDArray[Any]] = {
        "kernel": random_values(0, CHANNELS, channels, 3, 3),
        "slope": np.full((CHANNELS, 1, 1), 0.25, np.float32),
        "matrix": random_values(1, CHANNELS, DIMENSION),
        "bias": random_values(2, DIMENSION),
        "flat": np.array(flatten, np.int64),
    }
    start = "crops" if first else name
    nodes = list(first)
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [start], ["planes"], perm=[0, 3, 1, 2]))
        start = "planes"
    nodes += [
        helper.make_node("Conv", [start, "kernel"], ["features"], strides=[2, 2]),
        helper.make_node("PRelu", ["features", "slope"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat"], ["row"]),
        helper.make_node("Gemm", ["row", "matrix", "bias"], ["embedding"]),
        *more,
    ]
    shape = [batch, channels, side, side] if layout == "nchw" else [batch, side, side, channels]
    return model_bytes(nodes, weights, {name: shape}, {"embedding": [batch, DIMENSION]}, domain)


def model_bytes(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    domain: str = "",
) -> bytes:
    """An ONNX file. `domain` adds a set of operators that is not ONNX's."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    sets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def edited(data: bytes) -> onnx.ModelProto:
    """The parsed file, to be changed by a test."""
    model = onnx.ModelProto()
    model.ParseFromString(data)
    return model


def config_of(data: bytes, **changes: Any) -> OnnxConfig:
    """The configuration of a `tiny_graph`."""
    values = {
        "family": "custom", "side_px": SIDE_PX, "output": "embedding", "dimension": DIMENSION,
        "graph_bytes": len(data), **changes,
    }  # fmt: skip
    return OnnxConfig.model_validate(values)


def onnx_checkpoint(data: bytes, preprocessing: PreprocessingConfig | None = None, **changes: Any) -> Checkpoint:
    """A checkpoint of a `tiny_graph`, as it would be stored."""
    config = config_of(data, **changes)
    colour = "rgb" if config.input_channels == 3 else "grey"
    preprocessing = preprocessing or PreprocessingConfig(side_px=config.side_px, colour=colour)
    description = describe(config, preprocessing=preprocessing)
    header = Header(**dict(description), canary_similarity=0.5, embedding_sha256="")
    return Checkpoint(header=header, tensors={GRAPH: np.frombuffer(data, np.uint8).copy()})
