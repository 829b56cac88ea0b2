"""What every network offers, so that training, measuring and serving need not know which one it is.

A B batches, C channels, H W pixels, D embedding
"""

from abc import ABC, abstractmethod
from itertools import chain

import torch
from torch import Tensor, nn


class FaceNetwork(nn.Module, ABC):
    """`embed` and `compare` are separate, so that embeddings can be stored."""

    calibrated: bool
    """Whether similarities are probabilities, fitted on validation pairs."""

    unit_length: bool
    """Whether every embedding has length 1."""

    unit_parts: tuple[int, ...] = ()
    """Those of the network's configuration, if its embeddings have thumbnails."""

    @property
    def device(self) -> torch.device:
        """The device of the network's tensors."""
        return next(chain(self.parameters(), self.buffers())).device

    def stages(self) -> dict[str, list[nn.Module]]:
        """The layers by the name of their stage, from the crop to the embedding, for training some of them alone."""
        return {}

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Normalised images float32 (B, C, H, W) -> float32 (B, D)."""

    @abstractmethod
    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 logits of "same person"; symmetric."""

    @abstractmethod
    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the logits of all pairs but for rounding."""

    @abstractmethod
    def identical_logit(self) -> Tensor | None:
        """(1,) the logit of two identical pictures, or None where it depends on the picture."""
