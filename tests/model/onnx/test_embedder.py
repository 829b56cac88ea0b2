"""ONNX Runtime's embeddings of a checkpoint: against the graph by hand, in batches, and in PyTorch's clothes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from model.arrays import Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint, load
from model.embedder import open_embedder
from model.errors import CheckpointError, DeviceExhausted, DeviceLost
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.embedder import embed_pixels, save
from model.onnx import embedder
from model.onnx.embedder import OnnxEmbedder, fault_of, translate_faults
from model.onnx.session import MAX_PASS
from model.similarity import Calibration
from model.verifier import Verifier
from tests.conftest import describe
from tests.model.support.onnx_graphs import (
    CHANNELS,
    DIMENSION,
    SIDE_PX,
    config_of,
    onnx_checkpoint,
    tiny_graph,
    try_out_once,
)

ROOT = Path(__file__).parent.parent.parent.parent
VARIANTS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "dynamic": (tiny_graph(), {}),
    "one at a time": (tiny_graph(batch=1, flatten=(1, CHANNELS)), {"batch": "one"}),
    "blue first": (tiny_graph(), {"channel_order": "bgr"}),
    "channels last": (tiny_graph(layout="nhwc"), {"layout": "nhwc"}),
    "mirrored": (tiny_graph(), {"flip_average": True}),
    "with its length": (tiny_graph(), {"unit_length": False}),
    "grey": (tiny_graph(channels=1), {"input_channels": 1}),
    "any side": (tiny_graph(side="S"), {}),
    "onnx runtime": (tiny_graph(), {"cpu_runtime": "onnxruntime"}),
    "onnx runtime, one at a time": (tiny_graph(batch=1), {"cpu_runtime": "onnxruntime", "batch": "one"}),
}
each_variant = pytest.mark.parametrize(("data", "changes"), VARIANTS.values(), ids=VARIANTS.keys())


def crops(checkpoint: Checkpoint, count: int = 5) -> Pixels:
    """The canary pair and noise."""
    pair = canary_pair(checkpoint.header.preprocessing.input_shape)
    noise = np.random.default_rng(0).integers(0, 256, (count - 2, *pair.shape[1:]), dtype=np.uint8)
    return np.concatenate([pair, noise])


def by_hand(checkpoint: Checkpoint, data: bytes, pixels: Pixels, mean: float, std: float) -> np.ndarray:
    """The embeddings, crop by crop and step by step."""
    config = checkpoint.header.network.model_dump()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rows = []
    for crop in pixels:
        outputs = []
        for seen in (crop, crop[:, ::-1]) if config["flip_average"] else (crop,):
            image = seen if seen.ndim == 3 else seen[..., None]
            image = image[..., ::-1] if config["channel_order"] == "bgr" else image
            image = (image.astype(np.float64) / 255 - mean) / std
            image = image if config["layout"] == "nhwc" else image.transpose(2, 0, 1)
            [output] = session.run(None, {session.get_inputs()[0].name: image[None].astype(np.float32)})
            outputs.append(output[0])
        row = np.mean(outputs, axis=0)
        rows.append(row / np.linalg.norm(row) if config["unit_length"] else row)
    return np.stack(rows)


@pytest.fixture(autouse=True)
def one_trial_of_each_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "try_out", try_out_once)


@each_variant
def test_embeddings_are_those_of_the_graph(data: bytes, changes: dict[str, Any]) -> None:
    colour = "grey" if changes.get("input_channels") == 1 else "rgb"
    preprocessing = PreprocessingConfig(side_px=SIDE_PX, colour=colour, mean=0.4, std=0.3)
    checkpoint = onnx_checkpoint(data, preprocessing, **changes)
    embedder, pixels = OnnxEmbedder(checkpoint), crops(checkpoint)
    found, expected = embedder.embed(pixels), by_hand(checkpoint, data, pixels, 0.4, 0.3)
    assert found.dtype == np.float32
    assert found.shape == (5, DIMENSION)
    assert np.abs(found - expected).max() <= 1e-5
    assert np.abs(found[0] - found[2]).max() > 1e-3
    assert np.array_equal(embedder.canary, found[:2])


@pytest.mark.parametrize(
    ("data", "changes", "standardised"),
    [*((*each, False) for each in VARIANTS.values()), (*VARIANTS["dynamic"], True), (*VARIANTS["grey"], True)],
    ids=[*VARIANTS, "standardised", "grey standardised"],
)
def test_pytorch_gets_the_same_embeddings_and_cosines(data: bytes, changes: dict[str, Any], standardised: bool) -> None:
    colour = "grey" if changes.get("input_channels") == 1 else "rgb"
    preprocessing = PreprocessingConfig(side_px=SIDE_PX, colour=colour, standardised=standardised)
    checkpoint = onnx_checkpoint(data, preprocessing, **changes)
    embedder, network, pixels = OnnxEmbedder(checkpoint), restore(checkpoint), crops(checkpoint)
    found = embedder.embed(pixels)
    rows = embed_pixels(network, pixels, preprocessing)
    assert np.abs(rows.numpy() - found).max() <= 1e-5
    cosines = embedder.compare(found[:-1], found[1:])
    assert np.abs(network.compare(rows[:-1], rows[1:]).numpy() - cosines).max() <= 1e-6
    assert np.abs(torch.diagonal(network.logit_table(rows[:-1], rows[1:])).numpy() - cosines).max() <= 1e-6
    assert np.array_equal(cosines, embedder.compare(found[1:], found[:-1]))


@each_variant
def test_embeddings_do_not_depend_on_the_batch(data: bytes, changes: dict[str, Any]) -> None:
    checkpoint = onnx_checkpoint(data, **changes)
    embedder, pixels = OnnxEmbedder(checkpoint, "cpu", 3), crops(checkpoint, MAX_PASS + 5)
    together = embedder.embed(pixels)
    alone = np.concatenate([embedder.embed(pixels[each : each + 1]) for each in range(len(pixels))])
    assert np.abs(together - alone).max() <= 1e-5
    assert np.abs(together - embedder.embed(pixels, 1)).max() <= 1e-5


def saved(path: Path, data: bytes = tiny_graph(), **changes: Any) -> Path:
    """A checkpoint on disk, with a calibration."""
    checkpoint = onnx_checkpoint(data, **changes)
    description = describe(checkpoint.header.network, preprocessing=checkpoint.header.preprocessing)
    fitted = description.model_copy(update={"calibration": Calibration(scale=20.0, bias=-8.0)})
    save(path, restore(checkpoint), fitted)
    return path


def test_checkpoints_keep_the_graph_and_pass_the_canary(tmp_path: Path) -> None:
    data = tiny_graph()
    checkpoint = load(saved(tmp_path / "mine.safetensors", data))
    assert checkpoint.tensors["graph"].tobytes() == data
    verifier = Verifier.of(checkpoint, "cpu", 2)
    verifier.check_canary()
    rows = verifier.embed(crops(checkpoint))
    cosine = float(rows[0].astype(np.float64) @ rows[2])
    assert verifier.compare(rows[:1], rows[2:3])[0] == pytest.approx(1 / (1 + np.exp(8 - 20 * cosine)), abs=1e-6)


def test_the_graph_and_its_use_are_part_of_the_embedding_digest(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{}, {"channel_order": "bgr"}, {"flip_average": True}, {"unit_length": False}]
    paths = [saved(tmp_path / str(number), **each) for number, each in enumerate(changes)]
    paths.append(saved(tmp_path / "renamed", tiny_graph(name="input.2")))
    assert len({load(path).header.embedding_sha256 for path in paths}) == 5


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (tiny_graph(), {"layout": "nhwc"}, "the graph's input is not as the checkpoint says"),
        (tiny_graph(), {"side_px": 40}, "the graph's input is not as the checkpoint says"),
        (tiny_graph(), {"dimension": 9}, "the graph's output is not as the checkpoint says"),
        (tiny_graph(batch=1), {"batch": "any"}, "the graph's output is not as the checkpoint says"),
        (tiny_graph(), {"output": "elsewhere"}, "name one of the graph's outputs: 'embedding'"),
        (tiny_graph(domain="com.example"), {}, "operators of its own"),
    ],
)
def test_a_graph_that_differs_from_its_header_is_refused_at_the_start(
    data: bytes, changes: dict[str, Any], message: str
) -> None:
    """Digests do not protect against whoever writes both."""
    with pytest.raises(CheckpointError, match=message):
        open_embedder(onnx_checkpoint(data, **changes), "cpu")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("std::bad_alloc", DeviceExhausted),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9", DeviceExhausted),
        ("CUDA failure 2: out of memory ; GPU=0", DeviceExhausted),
        ("CUDA failure 700: an illegal memory access was encountered", DeviceLost),
    ],
)
def test_faults_of_the_device_are_told_apart(message: str, fault: type[Exception]) -> None:
    assert type(fault_of(RuntimeError(message))) is fault


def test_errors_of_a_runtime_are_translated_if_the_device_is_at_fault() -> None:
    embedder = OnnxEmbedder(onnx_checkpoint(tiny_graph()))
    with pytest.raises(RuntimeError, match="shape"):
        embedder.embed(np.zeros((1, 9, 9, 3), np.uint8))

    @translate_faults
    def work() -> None:
        raise MemoryError

    with pytest.raises(DeviceExhausted):
        work()


def test_on_a_cpu_only_the_child_process_loads_onnx_and_its_runtime(tmp_path: Path) -> None:
    """The service starts faster, has less memory, and parses a file only after the child has. Neither process writes
    or sends a report of use, which OpenVINO's package for them would do.
    """
    program = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.connect', 'socket.getaddrinfo')): sys.exit(event)\n"
        "sys.addaudithook(refuse)\n"
        "from pathlib import Path\n"
        "from model.checkpoint import load\n"
        "from model.embedder import open_embedder\n"
        "open_embedder(load(Path(sys.argv[1])), 'cpu')\n"
        "sys.exit(', '.join({'onnx', 'onnxruntime', 'torch'} & set(sys.modules)) or 0)"
    )
    home = tmp_path / "home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    variables |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    command = [sys.executable, "-c", program, str(saved(tmp_path / "mine.safetensors"))]
    subprocess.run(command, env=variables, cwd=ROOT, check=True, timeout=60)
    assert list(home.iterdir()) == []


def test_configurations_are_bounded() -> None:
    with pytest.raises(ValueError, match="graph_bytes"):
        config_of(b"x" * 10, graph_bytes=2**40)
    with pytest.raises(ValueError, match="side_px"):
        config_of(b"x" * 10, side_px=5000)
