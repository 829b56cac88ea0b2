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
from model.networks.configurations import GRAPH, OnnxConfig
from model.onnx.device import CUDA, HOW_TO_INSTALL, select_device
from model.onnx.graph import input_of, read_graph
from model.onnx.session import GraphRunner, Images, unit_rows
from model.onnx.trial import try_out

# How ONNX Runtime and CUDA say that memory is short, and that a GPU failed.
MEMORY_MESSAGE = re.compile("bad_alloc|failed to allocate|out of memory|ALLOC_FAILED", re.IGNORECASE)
CUDA_MESSAGE = re.compile("CUDA failure|CUDNN failure|CUBLAS failure|CUDA error")


def fault_of(error: RuntimeError | MemoryError) -> DeviceExhausted | DeviceLost | None:
    """The device's fault that an error of ONNX Runtime stands for, or None if it has another cause."""
    if isinstance(error, MemoryError) or MEMORY_MESSAGE.search(str(error)):
        return DeviceExhausted(MSG_DEVICE_EXHAUSTED)
    return DeviceLost(MSG_DEVICE_LOST) if CUDA_MESSAGE.search(str(error)) else None


translate_faults = translating(fault_of)


class OnnxEmbedder:
    """An `Embedder` with the checkpoint's graph. On a CPU a batch is divided among threads."""

    @translate_faults
    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", threads: int = 1) -> None:
        """`threads` is how many threads embed at the same time. Raises CheckpointError and DeviceError."""
        config, self._preprocessing = checkpoint.header.network, checkpoint.header.preprocessing
        assert isinstance(config, OnnxConfig)
        self.device = select_device(device)
        graph = checkpoint.tensors[GRAPH].tobytes()
        require_safe(config, graph)
        self._runner = open_runner(config, graph, threads=threads)
        self._most_threads = threads
        pair = canary_pair(self._preprocessing.input_shape)
        self.canary: Embeddings = self._runner.embed(normalise(pair, self._preprocessing))
        if self.device != "cpu":
            self._runner = open_runner(config, graph, self.device)

    @translate_faults
    def embed(self, pixels: Pixels) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        return self._runner.embed(normalise(pixels, self._preprocessing))

    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) cosines; symmetric."""
        one, other = (unit_rows(side).astype(np.float64) for side in (left, right))
        return np.asarray((one * other).sum(1))

    def use_threads(self, count: int) -> None:
        """Sets among how many threads later calls divide their batch, at most those that it was opened with."""
        if self.device == "cpu":
            self._runner.threads = min(count, self._most_threads)

    def release_memory(self) -> None:
        """Nothing: memory for later calls is bounded by the largest pass."""


def require_safe(config: OnnxConfig, graph: bytes) -> None:
    """Checks a checkpoint's graph, and tries it out in a child process.

    Raises CheckpointError if a part of the graph is not allowed or not as the configuration says.
    """
    entry = input_of(read_graph(graph))
    sides = (None, config.side_px)
    if (entry.channels, entry.layout) != (config.input_channels, config.layout) or entry.side_px not in sides:
        raise CheckpointError("the graph's input is not as the checkpoint says; import the network again")
    trial = try_out(graph, config.side_px, config.output)
    if trial.dimension != config.dimension or (config.batch == "any" and trial.batch == "one"):
        raise CheckpointError("the graph's output is not as the checkpoint says; import the network again")


def open_runner(config: OnnxConfig, graph: bytes, device: str = "cpu", threads: int = 1) -> GraphRunner:
    """A graph that `require_safe` has passed, on a device. On a GPU `threads` is not used.

    Raises DeviceError if ONNX Runtime would compute on the CPU instead of the GPU.
    """
    if device == "cpu":
        return GraphRunner(config, graph, threads=threads)
    runner = GraphRunner(config, graph, device)
    if CUDA not in runner.session.get_providers():
        raise DeviceError(
            f"device {device} is not available to ONNX Runtime: install the CUDA and cuDNN that onnxruntime-gpu needs, "
            f"or {HOW_TO_INSTALL}; --device cpu needs neither"
        )
    return runner


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
