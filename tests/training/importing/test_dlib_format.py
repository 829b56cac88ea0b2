"""dlib's format, on a network with random weights that a test writes, and if it is installed on the real one."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from model.errors import CheckpointError
from training.importing.dlib_format import DIMENSION, LEVELS, SIDE_PX, to_onnx


def packed(value: int) -> bytes:
    """An integer as dlib writes it."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def tensor(values: np.ndarray) -> bytes:
    return packed(2) + packed(len(values)) + packed(1) * 3 + values.astype("<f4").tobytes()


def text(word: str) -> bytes:
    return packed(len(word)) + word.encode()


def drawn(seed: int = 0, levels: int = len(LEVELS)) -> bytes:
    """A file of the network with random weights, and other numbers between the layers as dlib has them."""
    draws = np.random.default_rng(seed)
    shapes, entering = [(32, 3, 7)], 32
    for width, blocks, _ in LEVELS[:levels]:
        for _ in range(blocks):
            shapes += [(width, entering, 3), (width, width, 3)]
            entering = width
    data = packed(2) + text("input")
    for leaving, incoming, kernel in shapes:
        weights = draws.normal(0, 1 / (kernel * np.sqrt(incoming)), leaving * incoming * kernel**2 + leaving)
        data += text("con_4") + tensor(weights) + packed(leaving) + packed(kernel) * 2
        data += text("affine_") + tensor(np.concatenate([np.ones(leaving), draws.normal(0, 0.1, leaving)]))
        data += packed(0) + text("relu_") + struct.pack("<d", 1.0)
    matrix = draws.normal(0, 0.1, 256 * DIMENSION)
    return data + text("fc_2") + packed(DIMENSION) + packed(256) + tensor(matrix) + text("loss_metric_2")


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def run(graph: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    [rows] = session.run(None, {"crops": pixels.transpose(0, 3, 1, 2).astype(np.float32)})
    return np.asarray(rows)


def test_the_graph_takes_crops_and_gives_descriptors() -> None:
    rows = run(to_onnx(drawn()), crops(2))
    assert rows.shape == (2, DIMENSION)
    assert np.isfinite(rows).all()
    assert np.abs(rows[0] - rows[1]).max() > 0
    assert np.abs(rows - run(to_onnx(drawn(seed=1)), crops(2))).max() > 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not dlib's face recognition network"),
        (drawn(levels=4), "not dlib's face recognition network"),
        (drawn()[:100_000], "damaged or cut off"),
        (drawn().replace(packed(32 * 32 * 9 + 32), packed(32 * 32 * 9 + 31), 1), "a layer has 9247 values, not 9248"),
    ],
    ids=["empty", "another network", "cut off", "other sizes"],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        to_onnx(data)


def test_the_graph_is_that_of_dlib() -> None:
    """With the packages `dlib-bin` and `face_recognition_models` 0.3.0 from PyPI."""
    dlib = pytest.importorskip("dlib")
    package = importlib.util.find_spec("face_recognition_models")
    if package is None or package.origin is None:
        pytest.skip("the package face_recognition_models is not installed")
    path = Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
    network, pixels = dlib.face_recognition_model_v1(str(path)), crops(4)
    rows = run(to_onnx(path.read_bytes()), pixels)
    for row, crop in zip(rows, pixels, strict=True):
        theirs = np.array(network.compute_face_descriptor(crop))
        assert row @ theirs / np.linalg.norm(row) / np.linalg.norm(theirs) >= 0.9999
        assert np.abs(row - theirs).max() < 1e-5
