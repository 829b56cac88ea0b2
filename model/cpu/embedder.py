"""Runs networks with OpenVINO on a CPU.

B batch, H W pixels, D embedding
"""

import re

import numpy as np
from numpy.typing import NDArray

from model.arrays import Embeddings, Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint
from model.cpu.graph import build_graph
from model.cpu.heads import comparison_of
from model.cpu.requests import Requests
from model.device_faults import translating
from model.errors import MSG_DEVICE_EXHAUSTED, DeviceExhausted

# How OpenVINO says that memory is short, if it does not raise MemoryError.
MEMORY_MESSAGE = re.compile("bad_alloc|could not allocate|out of memory", re.IGNORECASE)


def fault_of(error: RuntimeError | MemoryError) -> DeviceExhausted | None:
    """The want of memory that an OpenVINO error stands for, or None if it has another cause."""
    if isinstance(error, MemoryError) or MEMORY_MESSAGE.search(str(error)):
        return DeviceExhausted(MSG_DEVICE_EXHAUSTED)
    return None


translate_faults = translating(fault_of)


class CpuEmbedder:
    """An `Embedder` with the checkpoint's network. Each thread computes a part of a batch by itself."""

    device = "cpu"

    @translate_faults
    def __init__(self, checkpoint: Checkpoint, threads: int = 1) -> None:
        """`threads` is how many threads embed at the same time, each a part of a batch."""
        header = checkpoint.header
        self._requests = Requests(build_graph(checkpoint), threads)
        self.threads = threads
        self.compare_logits = comparison_of(checkpoint.tensors, checkpoint.header.network.unit_parts)
        self.canary: Embeddings = self.embed(canary_pair(header.preprocessing.input_shape))

    @translate_faults
    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        return self._requests.run(pixels, threads or self.threads)

    @translate_faults
    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) logits; symmetric."""
        return self.compare_logits(left, right)

    def release_memory(self) -> None:
        """Nothing: memory for later calls is bounded by the largest batch."""
