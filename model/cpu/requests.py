"""Runs a model of OpenVINO on a CPU, on some threads at the same time.

B batch
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

Values = NDArray[Any]


class Requests:
    """A compiled model with one input and one output, and a request for each thread. For one caller at a time."""

    def __init__(self, model: ov.Model, threads: int) -> None:
        """`threads` is how many parts of a batch are computed at the same time. Raises RuntimeError and MemoryError."""
        options = {
            # OpenVINO would compute in bfloat16 where the processor can.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            # Decoders and other replicas use the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = ov.Core().compile_model(model, "CPU", options)
        self._requests = [compiled.create_infer_request() for _ in range(threads)]

    def run(self, parts: Sequence[Values]) -> list[Values]:
        """At most as many parts of a batch, (B, ...) each, as there are threads -> the output of each, (B, ...)."""
        used = self._requests[: len(parts)]
        with ExitStack() as running:
            for request, part in zip(used, parts, strict=True):
                request.start_async([part], share_inputs=True)
                running.callback(request.wait)  # for all of them, even if one fails
        return [np.array(request.get_output_tensor().data) for request in used]
