"""Networks with a checkpoint's calibration, for training and measuring; the service applies it in `Verifier.compare`.

A B batches, C channels, H W pixels, D embedding
"""

import torch
from torch import Tensor

from model.checkpoint import Checkpoint
from model.networks.architecture import restore
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration


class CalibratedNetwork(FaceNetwork):
    """A network whose logits are calibrated. Its embeddings are the network's own."""

    def __init__(self, network: FaceNetwork, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration
        self.calibrated, self.unit_length = network.calibrated, network.unit_length
        self.unit_parts = network.unit_parts

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images float32 (B, C, H, W) -> float32 (B, D), before the calibration."""
        return self.network.embed(images)

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 calibrated logits; symmetric."""
        return self._adjust(self.network.compare(self._centre(left), self._centre(right)))

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the calibrated logits of all pairs but for rounding."""
        return self._adjust(self.network.logit_table(self._centre(left), self._centre(right)))

    def identical_logit(self) -> Tensor | None:
        """(1,) the calibrated logit of two identical pictures, or None where it depends on the picture."""
        logit = self.network.identical_logit()
        return None if logit is None else self._adjust(logit)

    def _centre(self, embeddings: Tensor) -> Tensor:
        return torch.from_numpy(self.calibration.centre(embeddings.cpu().numpy())).to(embeddings.device)

    def _adjust(self, logits: Tensor) -> Tensor:
        return self.calibration.scale * logits + self.calibration.bias


def restore_calibrated(stored: Checkpoint) -> FaceNetwork:
    """As `architecture.restore`, with the checkpoint's calibration: similarities are those of the service."""
    network = restore(stored)
    return (
        network if stored.header.calibration == Calibration() else CalibratedNetwork(network, stored.header.calibration)
    )
