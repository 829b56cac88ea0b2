"""Runs a graph with ONNX Runtime, on a GPU, and on a CPU if OpenVINO cannot."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from model.onnx.device import CUDA
from model.onnx.session import Images


class OnnxRuntimeSession:
    """A `Session` whose threads have a core each on the CPU."""

    def __init__(self, graph: bytes, output: str, device: str = "cpu", threads: int = 1) -> None:
        """Raises various exceptions of ONNX Runtime."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers: list[object] = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            providers.insert(0, (CUDA, {"device_id": device.partition(":")[2] or "0"}))
        self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        [self._input] = [each.name for each in self._session.get_inputs()]
        self._output = output
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx")

    def computes_on(self, device: str) -> bool:
        """As in `Session`. ONNX Runtime takes the CPU if CUDA or cuDNN is missing."""
        return device == "cpu" or CUDA in self._session.get_providers()

    def run(self, images: Images, largest: int, threads: int) -> Images:
        """As in `Session`."""
        shares = np.array_split(images, min(threads, len(images)))
        if len(shares) == 1:
            return self._run_share(images, largest)
        return np.concatenate(list(self._pool.map(self._run_share, shares, [largest] * len(shares))))

    def _run_share(self, images: Images, largest: int) -> Images:
        """A thread's share, in passes of at most `largest` crops."""
        passes = [images[start : start + largest] for start in range(0, len(images), largest)]
        return np.concatenate([self._run(each) for each in passes])

    def _run(self, images: Images) -> Images:
        """Raises RuntimeError instead of ONNX Runtime's exceptions, which have no base class of their own."""
        try:
            [found] = self._session.run([self._output], {self._input: images})
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise RuntimeError(str(error)) from error
            raise
        rows: Images = found
        return rows
