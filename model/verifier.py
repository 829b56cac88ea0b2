"""A loaded checkpoint that turns crops into embeddings and embeddings into similarities, and checks its results.

B batch, H W pixels, D embedding
"""

from typing import Self

import numpy as np

from model.arrays import Embeddings, Pixels, Similarities
from model.canary import canary_pair
from model.checkpoint import Checkpoint, Header
from model.conditions import ComparedPair, shown_conditions
from model.embedder import Embedder, open_embedder
from model.errors import CheckpointError, InferenceError
from model.imaging.canary import canary_sha256
from model.similarity import similarity

# The largest accepted difference: of similarities, and of embeddings relative to their length. A GPU convolves in TF32
# (10 bits of mantissa), so it differs more from the CPU that made the record than another CPU does.
CANARY_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}


class Verifier:
    """A network and its checkpoint's header. Methods also raise what those of `Embedder` raise."""

    def __init__(self, header: Header, embedder: Embedder) -> None:
        self.header = header
        self.embedder = embedder

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = "auto", threads: int = 1) -> Self:
        """A checkpoint's verifier, as `open_embedder` opens its network. Raises DeviceError."""
        return cls(checkpoint.header, open_embedder(checkpoint, device, threads))

    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D), by at most `threads`. Raises InferenceError."""
        embeddings = self.embedder.embed(pixels, threads)
        if not np.isfinite(embeddings).all():
            raise InferenceError("the network returned an embedding that is not finite")
        return embeddings

    def compare(self, left: Embeddings, right: Embeddings) -> Similarities:
        """float32 (B, D) twice -> float64 (B,) similarities, 0 to 1; symmetric. Raises InferenceError.

        The header's calibration is applied here, so it holds for every runtime and for stored embeddings.
        """
        calibration = self.header.calibration
        logits = self.embedder.compare(calibration.centre(left), calibration.centre(right))
        similarities = similarity(calibration.adjust(logits))
        if not np.isfinite(similarities).all():
            raise InferenceError("the network returned a similarity that is not finite")
        return similarities

    def compare_pairs(self, left: Embeddings, right: Embeddings) -> list[ComparedPair]:
        """As `compare`, with the conditions that the embeddings of each pair show."""
        header = self.header
        shown = shown_conditions(left, right, header.network.unit_parts, header.condition_rates)
        pairs = zip(map(float, self.compare(left, right)), shown, strict=True)
        return [ComparedPair(similarity=similarity, conditions=conditions) for similarity, conditions in pairs]

    def check_canary(self) -> None:
        """Checks that the canary photo gives the recorded crops, and the network what it should on the canary pair.

        Raises CheckpointError if crops differ, if the similarity differs from the one in the checkpoint, or the
        embeddings from those that the network returned when it was loaded.
        """
        preprocessing, crops = self.header.preprocessing, self.header.canary_photo_sha256
        if crops and crops != canary_sha256(preprocessing):
            raise CheckpointError(
                "the canary photo gives other crops than in training: install the versions of Pillow and OpenCV that "
                "the checkpoint was made with"
            )
        device, recorded = self.embedder.device, self.header.canary_similarity
        tolerance = CANARY_TOLERANCE[device.partition(":")[0]]
        embeddings = self.embedder.embed(canary_pair(preprocessing.input_shape))
        # Without the calibration, as it is recorded: what is checked is the network.
        found = float(similarity(self.embedder.compare(embeddings[:1], embeddings[1:]))[0])
        if not abs(found - recorded) <= tolerance:
            raise CheckpointError(
                f"the canary pair scores {found:.6f} on {device}, but the checkpoint records {recorded:.6f}"
            )
        # The similarity alone is not enough: near 1 it hardly changes with the embeddings.
        lengths = np.linalg.norm(self.embedder.canary, axis=1).clip(1e-6)
        apart = float((np.linalg.norm(embeddings - self.embedder.canary, axis=1) / lengths).max())
        if not apart <= tolerance:
            raise CheckpointError(
                f"the canary pair's embeddings on {device} differ by {apart:.1e} of their length from those that the "
                "network returned when it was loaded"
            )
