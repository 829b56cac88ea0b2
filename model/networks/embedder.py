"""Networks run by PyTorch, on a CPU or a GPU: from crops to embeddings, from embeddings to similarities.

B batch, C channels (1 of a grey crop, 3 of a coloured one), H W pixels, D embedding
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from model import checkpoint
from model.arrays import Embeddings, Pixels, Similarities
from model.canary import canary_pair
from model.checkpoint import Checkpoint, Description, Header
from model.device import fault_of
from model.errors import CheckpointError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import FaceNetwork, restore, restore_tensors, stored_tensors
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity
from model.networks.residual import standardise

P = ParamSpec("P")
T = TypeVar("T")


def translate_faults(call: Callable[P, T]) -> Callable[P, T]:
    """Turns PyTorch's errors of the device into DeviceExhausted or DeviceLost.

    The original is a note of the new error, as text: the exception itself would keep the failed pass's tensors alive.
    """

    @wraps(call)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if (fault := fault_of(error)) is None:
                raise
        raise fault

    return wrapper


class TorchEmbedder:
    """An `Embedder`: the checkpoint's network, fused."""

    @translate_faults
    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.device = str(device)
        self._preprocessing = checkpoint.header.preprocessing
        network = restore(checkpoint)
        self.canary: Embeddings = embed_pixels(
            network, canary_pair(self._preprocessing.input_shape), self._preprocessing
        ).numpy()
        self.network = fuse_for_inference(network, device)

    @translate_faults
    @torch.inference_mode()
    def embed(self, pixels: Pixels) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        embeddings: Embeddings = embed_pixels(self.network, pixels, self._preprocessing).cpu().numpy()
        return embeddings

    @translate_faults
    @torch.inference_mode()
    def compare(self, left: Embeddings, right: Embeddings) -> Similarities:
        """float32 (B, D) twice -> float64 (B,), 0 to 1."""
        logits = self.network.compare(torch.from_numpy(left).to(self.device), torch.from_numpy(right).to(self.device))
        similarities: Similarities = similarity(logits).cpu().numpy()
        return similarities

    def use_threads(self, count: int) -> None:
        """PyTorch's threads belong to the thread that calls."""
        torch.set_num_threads(count)

    def release_memory(self) -> None:
        """On a GPU, what PyTorch keeps for later passes."""
        if self.device != "cpu":
            torch.cuda.empty_cache()


def embed_pixels(network: FaceNetwork, pixels: Pixels | Tensor, config: PreprocessingConfig) -> Tensor:
    """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D) on the network's device."""
    device = next(network.parameters()).device
    images = normalise(to_unit(torch.as_tensor(pixels).to(device)), config)
    with torch.no_grad():
        return network.embed(images.contiguous(memory_format=torch.channels_last))


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3), 0..255 -> float32 (B, 1, H, W) or (B, 3, H, W), 0..1."""
    channels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return channels.to(torch.float32) / 255


def normalise(images: Tensor, config: PreprocessingConfig) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> float32 (B, C, H, W), -1..1 with the default mean and deviation."""
    return standardise(images) if config.standardised else (images - config.mean) / config.std


def save(path: Path, network: FaceNetwork, description: Description) -> Header:
    """Writes a network's checkpoint atomically and returns its header.

    Raises CheckpointError if it is not fit to serve: weights or the canary's similarity that are not finite, or a
    threshold that identical pictures do not reach.
    """
    tensors = stored_tensors(network)
    checkpoint.require_finite(tensors)
    restored = restore_tensors(description.network, tensors)
    _require_reachable(restored, description.threshold.value)
    embeddings = embed_pixels(restored, canary_pair(description.preprocessing.input_shape), description.preprocessing)
    score = float(similarity(restored.compare(*embeddings.chunk(2))))
    return checkpoint.save(path, tensors, description, canary_similarity=score)


def _require_reachable(network: FaceNetwork, threshold: float) -> None:
    """A threshold above what identical pictures score, where that is known, would call them different."""
    logit = network.identical_logit()
    if logit is not None and threshold > (identical := float(similarity(logit))):
        raise CheckpointError(
            f"the threshold {threshold:.6f} lies above {identical:.6f}, the similarity of two identical pictures"
        )
