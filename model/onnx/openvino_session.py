"""Runs a graph with OpenVINO on a CPU."""

import io
from functools import cache

import openvino as ov
from openvino.frontend import FrontEnd, FrontEndManager

from model.cpu.requests import Requests
from model.onnx.session import Images


class OpenVinoSession:
    """A `Session` that computes one output alone."""

    def __init__(self, graph: bytes, output: str, shape: tuple[int, int, int, int], threads: int = 1) -> None:
        """`shape` is that of the input, -1 for any number of crops. Raises RuntimeError and MemoryError."""
        reader = _reader()
        model = reader.convert(reader.load(io.BytesIO(graph)))
        model.reshape(list(shape))
        computed = model.output(output).node.input_value(0)
        self._requests = Requests(ov.Model([computed], model.get_parameters()), threads)

    def computes_on(self, device: str) -> bool:
        """As in `Session`."""
        return device == "cpu"

    def run(self, images: Images, largest: int, threads: int) -> Images:
        """As in `Session`."""
        return self._requests.run(images, threads, largest)


@cache
def _reader() -> FrontEnd:
    """OpenVINO's reader of ONNX, found once: `ov.Core.read_model` opens files for each graph, and a trial may not."""
    return FrontEndManager().load_by_framework("onnx")
