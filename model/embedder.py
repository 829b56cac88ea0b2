"""What every runtime of networks can do, so that one can stand in for another.

B batch, D embedding
"""

from typing import Protocol

from model.arrays import Embeddings, Pixels, Similarities
from model.checkpoint import Checkpoint


class Embedder(Protocol):
    """A checkpoint's network on a device: crops to embeddings, embeddings to similarities.

    On a CPU any number of threads may call it at once, on a GPU one at a time. Each method raises DeviceExhausted where
    the device has too little memory, and DeviceLost where it failed.
    """

    device: str
    """The device that computes: `cpu`, `cuda:0`, ..."""
    canary: Embeddings
    """The embeddings of the canary pair, (2, D), on the CPU, before the network was changed to run fast."""

    def embed(self, pixels: Pixels) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        ...

    def compare(self, left: Embeddings, right: Embeddings) -> Similarities:
        """float32 (B, D) twice -> float64 (B,), 0 to 1; symmetric."""
        ...

    def use_threads(self, count: int) -> None:
        """Sets how many CPU threads the calls of this thread take."""
        ...

    def release_memory(self) -> None:
        """Returns to the device what is kept for later calls."""
        ...


def open_embedder(checkpoint: Checkpoint, device: str = "auto") -> Embedder:
    """The checkpoint's network by the runtime for that device (`auto`, `cpu`, `cuda` or `cuda:N`). Raises DeviceError.

    Runtimes are imported here, so that nothing else needs one that is not used.
    """
    from model.device import select_device
    from model.networks.embedder import TorchEmbedder

    return TorchEmbedder(checkpoint, select_device(device))
