"""Runs networks with PyTorch, and saves them as checkpoints.

B batch, C channels (1 for grey, 3 for colour), H W pixels, D embedding
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import checkpoint
from model.arrays import Embeddings, Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint, Description, Header
from model.device_faults import translating
from model.errors import CheckpointError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore, restore_tensors, stored_tensors
from model.networks.device import fault_of
from model.networks.face_network import FaceNetwork
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity
from model.networks.residual import standardise

translate_faults = translating(fault_of)


class TorchEmbedder:
    """An `Embedder` with the checkpoint's network, fused."""

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
    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:  # noqa: ARG002 (the GPU computes)
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D)."""
        embeddings: Embeddings = embed_pixels(self.network, pixels, self._preprocessing).cpu().numpy()
        return embeddings

    @translate_faults
    @torch.inference_mode()
    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) logits; symmetric."""
        logits = self.network.compare(torch.from_numpy(left).to(self.device), torch.from_numpy(right).to(self.device))
        doubled: NDArray[np.float64] = logits.double().cpu().numpy()
        return doubled

    def release_memory(self) -> None:
        """Returns PyTorch's cached memory to a GPU."""
        if self.device != "cpu":
            torch.cuda.empty_cache()


def embed_pixels(network: FaceNetwork, pixels: Pixels | Tensor, config: PreprocessingConfig) -> Tensor:
    """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D) on the network's device."""
    device = network.device
    images = normalise(to_unit(torch.as_tensor(pixels).to(device)), config)
    with torch.no_grad():
        return network.embed(images.contiguous(memory_format=torch.channels_last))


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3), 0 to 255 -> float32 (B, 1, H, W) or (B, 3, H, W), 0 to 1."""
    channels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return channels.to(torch.float32) / 255


def normalise(images: Tensor, config: PreprocessingConfig) -> Tensor:
    """float32 (B, C, H, W), 0 to 1 -> float32 (B, C, H, W), -1 to 1 with the default mean and deviation."""
    return standardise(images) if config.standardised else (images - config.mean) / config.std


def save(path: Path, network: FaceNetwork, description: Description) -> Header:
    """Writes a network's checkpoint atomically and returns its header.

    Raises CheckpointError if weights or the canary pair's similarity are not finite, if identical crops do not reach
    the threshold, or if the file cannot be written.
    """
    tensors = stored_tensors(network)
    checkpoint.require_finite(tensors)
    restored = restore_tensors(description.network, tensors)
    _require_reachable(restored, description)
    embeddings = embed_pixels(restored, canary_pair(description.preprocessing.input_shape), description.preprocessing)
    score = float(similarity(restored.compare(*embeddings.chunk(2))))
    return checkpoint.save(path, tensors, description, canary_similarity=score)


def _require_reachable(network: FaceNetwork, description: Description) -> None:
    """Raises CheckpointError for a threshold that even two identical crops do not reach."""
    logit, threshold, calibration = network.identical_logit(), description.threshold.value, description.calibration
    if logit is not None and threshold > (identical := float(similarity(calibration.scale * logit + calibration.bias))):
        raise CheckpointError(
            f"the threshold {threshold:.6f} is above {identical:.6f}, the similarity of two identical crops"
        )
