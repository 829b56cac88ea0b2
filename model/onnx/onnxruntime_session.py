"""Runs a graph with ONNX Runtime, on a GPU, and on a CPU if OpenVINO cannot."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

from model.onnx.device import CUDA
from model.onnx.session import Images


class OnnxRuntimeSession:
    """A `Session` whose passes have a thread and a core each on the CPU."""

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

    def run(self, passes: Sequence[Images]) -> Sequence[Images]:
        """As in `Session`."""
        return [self._run(passes[0])] if len(passes) == 1 else list(self._pool.map(self._run, passes))

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
