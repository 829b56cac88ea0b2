"""Runs a model of OpenVINO on a CPU, on some threads at the same time.

B batch
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

Values = NDArray[Any]


class Requests:
    """A compiled model with one input and one output, and a request for each thread. Any number of callers may run it:
    each request has one caller at a time, and a caller waits until one is free.
    """

    def __init__(self, model: ov.Model, threads: int) -> None:
        """`threads` is how many parts of batches are computed at the same time. Raises RuntimeError and MemoryError."""
        options = {
            # OpenVINO would compute in bfloat16 where the processor can.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            # Decoders and other replicas use the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = ov.Core().compile_model(model, "CPU", options)
        self._free: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(threads):
            self._free.put(compiled.create_infer_request())

    def run(self, batch: Values, most: int, largest: int | None = None) -> Values:
        """A batch (B, ...) -> its output (B, ...).

        It is divided into parts of at most `largest`, among the free threads, but at most `most` of them.
        """
        with self._take(min(most, len(batch))) as taken:
            least = 1 if largest is None else -(-len(batch) // largest)
            parts = np.array_split(batch, max(least, min(len(taken), len(batch))))
            outputs: list[Values] = []
            for start in range(0, len(parts), len(taken)):
                outputs += _run_together(taken, parts[start : start + len(taken)])
        return np.concatenate(outputs)

    @contextmanager
    def _take(self, most: int) -> Iterator[list[ov.InferRequest]]:
        """At least one request, after a wait if none is free."""
        taken = [self._free.get()]
        try:
            with suppress(Empty):
                while len(taken) < most:
                    taken.append(self._free.get_nowait())
            yield taken
        finally:
            for each in taken:
                self._free.put(each)


def _run_together(requests: Sequence[ov.InferRequest], parts: Sequence[Values]) -> list[Values]:
    """The outputs of parts, at most as many as there are requests."""
    used = requests[: len(parts)]
    with ExitStack() as running:
        for request, part in zip(used, parts, strict=True):
            request.start_async([part], share_inputs=True)
            running.callback(request.wait)  # for all of them, even if one fails
    return [np.array(request.get_output_tensor().data) for request in used]
