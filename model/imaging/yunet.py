"""YuNet, the network that finds faces, run by ONNX Runtime.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector" (2023). It scores every place of three grids over a
picture, and says where the face of that place is. OpenCV's version takes more than twice as long; a test compares the
two.

H W pixels, N pictures, A places, F faces
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from model.arrays import Pixels

Rows = NDArray[np.float32]

# The spacings of the three grids, in pixels.
STRIDES = (8, 16, 32)
# What the network says of a place, in the file's names, and its numbers: whether it is a face, whether it is an object
# (two logits, 1 + 1), the face's box (4) and landmarks (10).
KINDS = ("cls", "obj", "bbox", "kps")
NUMBERS = 16
# The operations before the heads.
BODY = {"Conv", "Relu", "MaxPool", "Resize", "Add"}
MAX_FACES = 1000
# ONNX Runtime keeps its memory for the next picture, except after pictures with a longer side.
MAX_KEPT_PX = 448


class YuNet:
    """The network. Any number of threads may call it, and each call uses only its caller's core."""

    def __init__(self, model: bytes, *, least_score: float, overlap: float) -> None:
        """`model` is the network as ONNX. Raises various exceptions of onnx and ONNX Runtime if it is anything else."""
        self._least_score = least_score
        self._overlap = overlap
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._freeing_memory = onnxruntime.RunOptions()
        self._freeing_memory.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = onnxruntime.InferenceSession(simplify(model), options, providers=["CPUExecutionProvider"])

    def detect(self, grey: Pixels) -> Rows:
        """uint8 (H, W) -> float32 (F, 15): x, y, width, height, five landmarks as x, y, and the score, best first."""
        padded = _padded(grey)
        [outputs] = self.run(padded[None].astype(np.float32))
        scores = _scores(outputs)
        found = np.flatnonzero(scores >= self._least_score)
        strides, places = (each[found] for each in _grids(*padded.shape))
        box, points = outputs[2:6, found].T, outputs[6:, found].T.reshape(-1, 5, 2)
        return self.distinct(_decode(strides, places, box, points, scores[found]))

    def score_places(self, frames: Rows) -> tuple[Rows, Rows]:
        """Grey float32 (N, H, W), sides multiples of 32 -> scores (N, A) and landmarks (N, A, 5, 2) of all places."""
        outputs = self.run(frames)
        points = outputs[:, 6:].transpose(0, 2, 1).reshape(*outputs.shape[::2], 5, 2)
        return _scores(outputs.swapaxes(0, 1)), _landmarks(*_grids(*frames.shape[1:]), points)

    def run(self, frames: Rows) -> Rows:
        """Grey float32 (N, H, W), sides multiples of 32 -> the network's output, float32 (N, NUMBERS, A)."""
        options = self._freeing_memory if max(frames.shape) > MAX_KEPT_PX else None
        [outputs] = self._session.run(None, {self._session.get_inputs()[0].name: frames[:, None]}, options)
        found: Rows = outputs
        return found

    def distinct(self, rows: Rows) -> Rows:
        """Rows (F, 15) -> the best of each group of overlapping faces, best first."""
        if len(rows) < 2:
            return rows
        boxes = rows[:, :4].astype(int).tolist()
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), self._least_score, self._overlap, 1.0, MAX_FACES)
        distinct: Rows = rows[np.array(kept, int)]
        return distinct


def simplify(model: bytes) -> bytes:
    """The network with one output, float32 (N, NUMBERS, A), for grey pictures of any number and size.

    The file has 12 heads for one colour picture of 640 pixels. Heads of one grid become one pair of convolutions. A
    grey picture is the same in three channels, so the first kernel is summed over them. Raises various exceptions if it
    is not YuNet.
    """
    network = onnx.load_model_from_string(model)
    graph = network.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = graph.node[0]
    tensors[first.input[1]] = tensors[first.input[1]].sum(axis=1, keepdims=True)
    merged, replaced = _merge_heads({name: node for node in graph.node for name in node.output}, tensors)
    body = [node for node in graph.node if node.output[0] not in replaced and node.op_type in BODY]
    used = {name for node in (*body, *merged) for name in node.input}
    simple = helper.make_graph(
        [*body, *merged],
        "yunet",
        [helper.make_tensor_value_info(first.input[0], onnx.TensorProto.FLOAT, ["pictures", 1, "height", "width"])],
        [helper.make_tensor_value_info("places", onnx.TensorProto.FLOAT, ["pictures", NUMBERS, "places"])],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items() if name in used],
    )
    made = helper.make_model(simple, opset_imports=network.opset_import, ir_version=network.ir_version)
    found: bytes = made.SerializeToString()
    return found


def _merge_heads(
    maker: Mapping[str, onnx.NodeProto], tensors: dict[str, NDArray[Any]]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The heads of each grid as one pair of convolutions, joined over the grids; and the outputs of those replaced.

    `maker` has the node that makes each output. Adds the merged kernels and biases to `tensors`.
    """

    def convolution(output: str) -> onnx.NodeProto:
        node = maker[output]
        return node if node.op_type == "Conv" else convolution(node.input[0])

    merged, replaced = [], set()
    for stride in STRIDES:
        deep = [convolution(f"{kind}_{stride}") for kind in KINDS]
        wide = [maker[node.input[0]] for node in deep]
        for name, nodes in (("wide", wide), ("deep", deep)):
            for at, part in ((1, "kernel"), (2, "bias")):
                tensors[f"{name}_{part}_{stride}"] = np.concatenate([tensors[node.input[at]] for node in nodes])
            replaced |= {node.output[0] for node in nodes}
        names = {name: [f"{name}_kernel_{stride}", f"{name}_bias_{stride}"] for name in ("wide", "deep")}
        merged += [
            helper.make_node("Conv", [wide[0].input[0], *names["wide"]], [f"wide_{stride}"]),
            helper.make_node(
                "Conv", [f"wide_{stride}", *names["deep"]], [f"deep_{stride}"], group=NUMBERS, pads=[1, 1, 1, 1]
            ),
            helper.make_node("Reshape", [f"deep_{stride}", "flat"], [f"flat_{stride}"]),
        ]
    tensors["flat"] = np.array([0, NUMBERS, -1])
    merged.append(helper.make_node("Concat", [f"flat_{stride}" for stride in STRIDES], ["places"], axis=2))
    return merged, replaced


def _scores(outputs: Rows) -> Rows:
    """Outputs (NUMBERS, ...) -> scores (...): the geometric mean of two probabilities."""
    probabilities = (1 + np.tanh(outputs[:2] / 2)) / 2
    scores: Rows = np.sqrt(probabilities[0] * probabilities[1])
    return scores


@lru_cache(maxsize=8)
def _grids(height_px: int, width_px: int) -> tuple[Rows, Rows]:
    """Strides (A, 1), and columns and rows (A, 2), of all places, row by row through all grids."""
    grids = [np.indices((height_px // stride, width_px // stride)).reshape(2, -1).T for stride in STRIDES]
    strides = np.repeat(STRIDES, [len(grid) for grid in grids])[:, None]
    return strides.astype(np.float32), np.concatenate(grids)[:, ::-1].astype(np.float32)


def _decode(strides: Rows, places: Rows, box: Rows, points: Rows, scores: Rows) -> Rows:
    """Strides (F, 1), places (F, 2), the network's boxes (F, 4) and landmarks (F, 5, 2), scores (F,) -> rows (F, 15).

    The network gives centres and landmarks in strides from their place, sides as logarithms of strides.
    """
    sides = np.exp(box[:, 2:]) * strides
    corners = (places + box[:, :2]) * strides - sides / 2
    landmarks = _landmarks(strides, places, points).reshape(-1, 10)
    return np.concatenate([corners, sides, landmarks, scores[:, None]], axis=1)


def _landmarks(strides: Rows, places: Rows, points: Rows) -> Rows:
    """Strides (A, 1), places (A, 2), the network's landmarks (..., A, 5, 2) -> landmarks (..., A, 5, 2) in pixels."""
    return (places[:, None] + points) * strides[:, None]


def _padded(grey: Pixels) -> Pixels:
    """Pads with black below and to the right, to multiples of the largest stride."""
    lower, right = (-side % STRIDES[-1] for side in grey.shape)
    return cv2.copyMakeBorder(grey, 0, lower, 0, right, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)
