"""The interface of the runtimes that can run a network.

B batch, D embedding
"""

from typing import Protocol

from model.arrays import Embeddings, Pixels, Similarities
from model.checkpoint import Checkpoint


class Embedder(Protocol):
    """A checkpoint's network on a device: crops to embeddings, embeddings to similarities.

    On a CPU any number of threads may call it at once, on a GPU one at a time. Every method raises DeviceExhausted if
    the device has too little memory, and DeviceLost if it failed.
    """

    device: str
    """The device that computes: `cpu`, `cuda:0`, ..."""
    canary: Embeddings
    """The canary pair's embeddings (2, D), computed on the CPU before the network was optimised for speed."""

    def embed(self, pixels: Pixels) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        ...

    def compare(self, left: Embeddings, right: Embeddings) -> Similarities:
        """float32 (B, D) twice -> float64 (B,) similarities, 0 to 1; symmetric."""
        ...

    def use_threads(self, count: int) -> None:
        """Sets how many CPU threads a call from the current thread uses."""
        ...

    def release_memory(self) -> None:
        """Returns memory that is cached for later calls to the device."""
        ...


def open_embedder(checkpoint: Checkpoint, device: str = "auto") -> Embedder:
    """The checkpoint's network on a device (`auto`, `cpu`, `cuda` or `cuda:N`). Raises DeviceError."""
    # Imported here, so that a process needs only the runtime that it uses.
    from model.device import select_device
    from model.networks.embedder import TorchEmbedder

    return TorchEmbedder(checkpoint, select_device(device))
