"""Runs a checked graph: normalised crops to embeddings.

B batch, C channels, H W pixels, D embedding
"""

import threading
from collections.abc import Sequence
from math import ceil
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

    def run(self, passes: Sequence[Images]) -> Sequence[Images]:
        """Crops in the graph's layout -> the output for each pass, (B, ...). The passes are computed at the same time.

        Raises RuntimeError and MemoryError.
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
    """A checkpoint's graph. Any number of threads may call it and wait for their turns."""

    def __init__(self, config: OnnxConfig, session: Session, threads: int = 1) -> None:
        """`threads` is how many passes are computed at the same time, at most those that the session was opened for."""
        self.config = config
        self.session = session
        self.threads = threads
        self._turn = threading.Lock()

    def embed(self, images: Images) -> Embeddings:
        """Normalised crops float32 (B, C, H, W), red first -> float32 (B, D)."""
        rows = self._run(self._oriented(images))
        if self.config.flip_average:
            rows = (rows + self._run(self._oriented(images[..., ::-1]))) / np.float32(2)
        return unit_rows(rows) if self.config.unit_length else rows

    def _oriented(self, images: Images) -> Images:
        """The crops in the graph's order of channels and its layout."""
        if self.config.channel_order == "bgr":
            images = images[:, ::-1]
        if self.config.layout == "nhwc":
            images = images.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images)

    def _run(self, images: Images) -> Images:
        with self._turn:
            threads = self.threads
            least = len(images) if self.config.batch == "one" else ceil(len(images) / MAX_PASS)
            passes = np.array_split(images, max(least, min(threads, len(images))))
            rows: list[Images] = []
            for start in range(0, len(passes), threads):
                rows += self.session.run(passes[start : start + threads])
        return np.concatenate(rows).reshape(len(images), -1)


def unit_rows(rows: NDArray[np.floating]) -> Images:
    """(B, D) -> float32 (B, D) of length 1, computed in double precision."""
    doubled = rows.astype(np.float64)
    unit: Images = (doubled / np.linalg.norm(doubled, axis=1, keepdims=True).clip(MIN_LENGTH)).astype(np.float32)
    return unit
