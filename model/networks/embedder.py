"""Networks run by PyTorch, on a CPU or a GPU.

B batch, D embedding
"""

import torch

from model.arrays import Embeddings, Pixels, Similarities
from model.canary import canary_pair
from model.checkpoint import Checkpoint
from model.device import translate_faults
from model.networks.architecture import restore
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity
from model.networks.inputs import embed_pixels


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
