"""A loaded checkpoint on a device: pictures to embeddings, embeddings to similarities.

B batch, H W pixels, D embedding
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.arrays import Embeddings, Pixels
from model.canary import canary_embeddings, canary_similarity
from model.checkpoint import Checkpoint
from model.device import translate_faults
from model.errors import CheckpointError, InferenceError
from model.networks.fusing import fold
from model.networks.inputs import normalise, to_unit
from model.similarity import similarity

# Of similarities, and of embeddings as a share of their length. A GPU convolves in TF32 (10 bits of mantissa), so it
# differs more from the CPU on which the record was made than another CPU does.
CANARY_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}


class Verifier:
    """On a CPU any number of threads may call it at once, on a GPU one at a time.

    The checkpoint's network becomes its own, folded.

    Each method raises DeviceExhausted where the device has too little memory, and DeviceLost where it failed.
    """

    @translate_faults
    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.header = checkpoint.header
        self.device = device
        self._canary = canary_embeddings(checkpoint.network.eval(), self.header.preprocessing)
        self._network = fold(checkpoint.network, device)

    @translate_faults
    @torch.inference_mode()
    def embed(self, pixels: Pixels) -> Embeddings:
        """uint8 (B, H, W) or (B, H, W, 3), as `crops` makes them -> float32 (B, D). Raises InferenceError."""
        images = normalise(to_unit(torch.from_numpy(pixels).to(self.device)), self.header.preprocessing)
        embeddings = self._network.embed(images.contiguous(memory_format=torch.channels_last))
        result: Embeddings = embeddings.cpu().numpy()
        if not np.isfinite(result).all():
            raise InferenceError("the network gave an embedding that is not finite")
        return result

    @translate_faults
    @torch.inference_mode()
    def compare(self, left: Embeddings, right: Embeddings) -> NDArray[np.float64]:
        """float32 (B, D) twice -> float64 (B,) similarities, 0..1; symmetric. Raises InferenceError."""
        logits = self._network.compare(torch.from_numpy(left).to(self.device), torch.from_numpy(right).to(self.device))
        result: NDArray[np.float64] = similarity(logits).cpu().numpy()
        if not np.isfinite(result).all():
            raise InferenceError("the comparison gave a similarity that is not finite")
        return result

    @translate_faults
    def check_canary(self) -> None:
        """Embeds and scores the canary pair. Raises CheckpointError unless the similarity is as the checkpoint records
        and the embeddings are those that the network had when it was loaded: similarities near 1 say little of these.
        """
        tolerance = CANARY_TOLERANCE[self.device.type]
        embeddings = canary_embeddings(self._network, self.header.preprocessing)
        found, recorded = canary_similarity(self._network, embeddings), self.header.canary_similarity
        if not abs(found - recorded) <= tolerance:
            raise CheckpointError(
                f"the canary pair scores {found:.6f} on {self.device}, but the checkpoint records {recorded:.6f}"
            )
        apart = float(((embeddings.cpu() - self._canary).norm(dim=1) / self._canary.norm(dim=1).clamp_min(1e-6)).max())
        if not apart <= tolerance:
            raise CheckpointError(
                f"the canary pair's embeddings on {self.device} are {apart:.1e} of their length from those that the "
                "network had when it was loaded"
            )
