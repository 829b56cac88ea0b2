"""Embeddings by a network from elsewhere, and their cosine.

B batch, C channels, H W pixels, D embedding
"""

import re

import numpy as np
from numpy.typing import NDArray

from model.arrays import Embeddings, Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint
from model.device_faults import translating
from model.errors import (
    MSG_DEVICE_EXHAUSTED,
    MSG_DEVICE_LOST,
    CheckpointError,
    DeviceError,
    DeviceExhausted,
    DeviceLost,
)
from model.imaging.preprocessing import MIN_DEVIATION, PreprocessingConfig
from model.networks.configurations import GRAPH, GraphRuntime, OnnxConfig
from model.onnx.device import HOW_TO_INSTALL, select_device
from model.onnx.session import GraphRunner, Images, open_session, unit_rows
from model.onnx.trial import Question, try_out

# How OpenVINO, ONNX Runtime and CUDA say that memory is short, and that a GPU failed.
MEMORY_MESSAGE = re.compile("bad_alloc|failed to allocate|could not allocate|out of memory|ALLOC_FAILED", re.IGNORECASE)
CUDA_MESSAGE = re.compile("CUDA failure|CUDNN failure|CUBLAS failure|CUDA error")


def fault_of(error: RuntimeError | MemoryError) -> DeviceExhausted | DeviceLost | None:
    """The device's fault that an error of a runtime stands for, or None if it has another cause."""
    if isinstance(error, MemoryError) or MEMORY_MESSAGE.search(str(error)):
        return DeviceExhausted(MSG_DEVICE_EXHAUSTED)
    return DeviceLost(MSG_DEVICE_LOST) if CUDA_MESSAGE.search(str(error)) else None


translate_faults = translating(fault_of)


class OnnxEmbedder:
    """An `Embedder` with the checkpoint's graph."""

    @translate_faults
    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", threads: int = 1) -> None:
        """`threads` is how many threads embed at the same time. Raises CheckpointError and DeviceError."""
        config, self._preprocessing = checkpoint.header.network, checkpoint.header.preprocessing
        assert isinstance(config, OnnxConfig)
        self.device = select_device(device)
        graph, runtime = checkpoint.tensors[GRAPH].tobytes(), runtime_on(self.device, config)
        require_safe(config, graph, runtime)
        self._runner = open_runner(config, graph, runtime, threads=threads)
        pair = canary_pair(self._preprocessing.input_shape)
        self.canary: Embeddings = self._runner.embed(normalise(pair, self._preprocessing))
        if self.device != "cpu":
            self._runner = open_runner(config, graph, runtime, self.device)

    @translate_faults
    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        return self._runner.embed(normalise(pixels, self._preprocessing), threads)

    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) cosines; symmetric."""
        one, other = (unit_rows(side).astype(np.float64) for side in (left, right))
        return np.asarray((one * other).sum(1))

    def release_memory(self) -> None:
        """Nothing: memory for later calls is bounded by the largest pass."""


def runtime_on(device: str, config: OnnxConfig) -> GraphRuntime:
    """What computes on a device, `cpu` or `cuda:N`."""
    return config.cpu_runtime if device == "cpu" else "onnxruntime"


def require_safe(config: OnnxConfig, graph: bytes, runtime: GraphRuntime) -> None:
    """Has a checkpoint's graph checked and tried out in a child process, by the runtime that will compute.

    Raises CheckpointError if a part of the graph is not allowed or not as the configuration says.
    """
    trial = try_out(graph, Question(side_px=config.side_px, output=config.output, runtimes=(runtime,)))
    taken = trial.input.channels, trial.input.layout, trial.side_px
    if taken != (config.input_channels, config.layout, config.side_px):
        raise CheckpointError("the graph's input is not as the checkpoint says; import the network again")
    if trial.dimension != config.dimension or (config.batch == "any" and trial.batch == "one"):
        raise CheckpointError("the graph's output is not as the checkpoint says; import the network again")


def open_runner(
    config: OnnxConfig, graph: bytes, runtime: GraphRuntime, device: str = "cpu", threads: int = 1
) -> GraphRunner:
    """A graph that `require_safe` has passed, on a device. On a GPU one pass is computed at a time.

    Raises DeviceError if ONNX Runtime would compute on the CPU instead of the GPU.
    """
    threads = threads if device == "cpu" else 1
    session = open_session(graph, config.output, config.graph_shape, runtime, device, threads)
    if not session.computes_on(device):
        raise DeviceError(
            f"device {device} is not available to ONNX Runtime: install the CUDA and cuDNN that onnxruntime-gpu needs, "
            f"or {HOW_TO_INSTALL}; --device cpu needs neither"
        )
    return GraphRunner(config, session, threads)


def normalise(pixels: Pixels, config: PreprocessingConfig) -> Images:
    """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, C, H, W), as `networks.embedder` normalises them."""
    images: Images
    if config.standardised:
        unit = pixels.astype(np.float32) / 255
        axes = tuple(range(1, unit.ndim))
        deviation = unit.std(axis=axes, keepdims=True).clip(MIN_DEVIATION)
        images = ((unit - unit.mean(axis=axes, keepdims=True)) / deviation).astype(np.float32, copy=False)
    else:
        levels = (np.arange(256, dtype=np.float32) / 255 - np.float32(config.mean)) / np.float32(config.std)
        images = levels.astype(np.float32)[pixels]
    planes: Images = images[:, None] if pixels.ndim == 3 else images.transpose(0, 3, 1, 2)
    return planes
