"""The interface of the runtimes that can run a network.

B batch, D embedding
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.arrays import Embeddings, Pixels
from model.checkpoint import Checkpoint
from model.device import needs_torch


class Embedder(Protocol):
    """A checkpoint's network on a device: crops to embeddings, embeddings to logits, without its calibration.

    On a CPU threads may call it at once, on a GPU one at a time. Every method raises
    DeviceExhausted if the device has too little memory, and DeviceLost if it failed.
    """

    device: str
    """The device that computes: `cpu`, `cuda:0`, ..."""
    canary: Embeddings
    """The canary pair's embeddings (2, D), computed on the CPU when the network was loaded."""

    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D).

        On a CPU the batch is divided among at most `threads`, and no more than it was opened with. With OpenVINO a
        call has only threads that no other call uses, and waits until there is one.
        """
        ...

    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) logits of "same person"; symmetric."""
        ...

    def release_memory(self) -> None:
        """Returns memory that is cached for later calls to the device."""
        ...


def open_embedder(checkpoint: Checkpoint, device: str = "auto", threads: int = 1) -> Embedder:
    """The checkpoint's network on a device (`auto`, `cpu`, `cuda` or `cuda:N`).

    Raises DeviceError, and CheckpointError for a network from elsewhere that cannot be run safely. On a CPU at most
    `threads` compute a batch.
    """
    # Imported here, so that a process needs only the runtime that it uses.
    if checkpoint.header.network.runtime == "onnx":
        from model.onnx.embedder import OnnxEmbedder

        return OnnxEmbedder(checkpoint, device, threads)
    if needs_torch(device):
        from model.networks.device import select_device
        from model.networks.embedder import TorchEmbedder

        if (selected := select_device(device)).type != "cpu":
            return TorchEmbedder(checkpoint, selected)
    from model.cpu.embedder import CpuEmbedder

    return CpuEmbedder(checkpoint, threads)
