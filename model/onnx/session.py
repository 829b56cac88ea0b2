"""Runs a checked graph by ONNX Runtime: normalised crops to embeddings.

B batch, C channels, H W pixels, D embedding
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model.arrays import Embeddings
from model.networks.configurations import OnnxConfig

Images = NDArray[np.float32]

# The most crops in one call of ONNX Runtime, so that its memory has a bound.
MAX_PASS = 16
# Keeps an output of zeros from becoming infinite.
MIN_LENGTH = 1e-12


def open_session(graph: bytes, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session on one core of the CPU, or on a GPU (`cuda:N`). Raises various exceptions of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers: list[object] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.partition(":")[2] or "0"}))
    return onnxruntime.InferenceSession(graph, options, providers=providers)


class GraphRunner:
    """A checkpoint's graph. Any number of threads may call it and wait for their turns."""

    def __init__(self, config: OnnxConfig, graph: bytes, device: str = "cpu", threads: int = 1) -> None:
        """`threads` is how many threads run the graph at the same time, each on a part of the batch."""
        self.config = config
        self.session = open_session(graph, device)
        self.threads = threads
        [self._input] = [each.name for each in self.session.get_inputs()]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx")
        self._turn = threading.Lock()

    def embed(self, images: Images) -> Embeddings:
        """Normalised crops float32 (B, C, H, W), red first -> float32 (B, D)."""
        rows = self._run_parts(self._oriented(images))
        if self.config.flip_average:
            rows = (rows + self._run_parts(self._oriented(images[..., ::-1]))) / np.float32(2)
        return unit_rows(rows) if self.config.unit_length else rows

    def _oriented(self, images: Images) -> Images:
        """The crops in the graph's order of channels and its layout."""
        if self.config.channel_order == "bgr":
            images = images[:, ::-1]
        if self.config.layout == "nhwc":
            images = images.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images)

    def _run_parts(self, images: Images) -> Images:
        parts = np.array_split(images, min(self.threads, len(images)))
        with self._turn:
            if len(parts) == 1:
                return self._run(images)
            return np.concatenate(list(self._pool.map(self._run, parts)))

    def _run(self, images: Images) -> Images:
        step = 1 if self.config.batch == "one" else MAX_PASS
        rows = [
            _call(self.session, self.config.output, {self._input: images[start : start + step]})
            for start in range(0, len(images), step)
        ]
        return np.concatenate(rows).reshape(len(images), -1)


def _call(session: onnxruntime.InferenceSession, output: str, feed: dict[str, Images]) -> Images:
    """Raises RuntimeError instead of ONNX Runtime's exceptions, which have no base class of their own."""
    try:
        [found] = session.run([output], feed)
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise RuntimeError(str(error)) from error
        raise
    rows: Images = found
    return rows


def unit_rows(rows: NDArray[np.floating]) -> Images:
    """(B, D) -> float32 (B, D) of length 1, computed in double precision."""
    doubled = rows.astype(np.float64)
    unit: Images = (doubled / np.linalg.norm(doubled, axis=1, keepdims=True).clip(MIN_LENGTH)).astype(np.float32)
    return unit
