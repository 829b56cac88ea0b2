"""Runs a checked graph: normalised crops to embeddings.

B batch, C channels, H W pixels, D embedding
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.arrays import Embeddings
from model.networks.configurations import GraphRuntime, OnnxConfig

Images = NDArray[np.float32]

# The most crops in one pass, so that its memory has a bound.
MAX_PASS = 16
# Keeps an output of zeros from becoming infinite.
MIN_LENGTH = 1e-12


class Session(Protocol):
    """A graph that a runtime has read, on a device."""

    def computes_on(self, device: str) -> bool:
        """Whether it computes on this device, `cpu` or `cuda:N`."""
        ...

    def run(self, images: Images, largest: int, threads: int) -> Images:
        """Crops in the graph's layout -> the output (B, ...), in passes of at most `largest`, by at most `threads`.

        Any number of threads may call it. Raises RuntimeError and MemoryError.
        """
        ...


def open_session(
    graph: bytes,
    output: str,
    shape: tuple[int, int, int, int],
    runtime: GraphRuntime,
    device: str = "cpu",
    threads: int = 1,
) -> Session:
    """A graph in a runtime: on the CPU, for so many passes at the same time, or with ONNX Runtime on a GPU, `cuda:N`.

    `shape` is that of the input, -1 for any number of crops. Raises various exceptions of the runtime.
    """
    # Imported here, so that a process needs only the runtime that it uses.
    if runtime == "openvino":
        from model.onnx.openvino_session import OpenVinoSession

        return OpenVinoSession(graph, output, shape, threads)
    from model.onnx.onnxruntime_session import OnnxRuntimeSession

    return OnnxRuntimeSession(graph, output, device, threads)


class GraphRunner:
    """A checkpoint's graph. Any number of threads may call it."""

    def __init__(self, config: OnnxConfig, session: Session, threads: int = 1) -> None:
        """`threads` is for how many passes at the same time the session was opened."""
        self.config = config
        self.session = session
        self._threads = threads
        self._largest = 1 if config.batch == "one" else MAX_PASS

    def embed(self, images: Images, threads: int | None = None) -> Embeddings:
        """Normalised crops float32 (B, C, H, W), red first -> float32 (B, D), by at most `threads`."""
        threads = min(threads or self._threads, self._threads)
        rows = self._run(self._oriented(images), threads)
        if self.config.flip_average:
            rows = (rows + self._run(self._oriented(images[..., ::-1]), threads)) / np.float32(2)
        return unit_rows(rows) if self.config.unit_length else rows

    def _oriented(self, images: Images) -> Images:
        """The crops in the graph's order of channels and its layout."""
        if self.config.channel_order == "bgr":
            images = images[:, ::-1]
        if self.config.layout == "nhwc":
            images = images.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images)

    def _run(self, images: Images, threads: int) -> Images:
        return self.session.run(images, self._largest, threads).reshape(len(images), -1)


def unit_rows(rows: NDArray[np.floating]) -> Images:
    """(B, D) -> float32 (B, D) of length 1, computed in double precision."""
    doubled = rows.astype(np.float64)
    unit: Images = (doubled / np.linalg.norm(doubled, axis=1, keepdims=True).clip(MIN_LENGTH)).astype(np.float32)
    return unit
