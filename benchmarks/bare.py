"""The network of a checkpoint on its own, as fast as this machine runs it: no decoding, no HTTP, no queue.

B batch, H W pixels
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.machine import PRODUCT_FLOP, matrix_product
from benchmarks.timing import Work, interleave
from model.checkpoint import Header, load
from model.device import select_device
from model.networks.architecture import FaceNetwork, restore
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity


@dataclass(frozen=True, kw_only=True)
class BareNetwork:
    """A checkpoint's network on a device, folded and laid out in memory as the service has it."""

    header: Header
    network: FaceNetwork
    device: torch.device

    def embedding(self, batch: int) -> Callable[[], Tensor]:
        """Embeds `batch` pictures, which are on the device already."""
        images = self._images(batch)
        return torch.inference_mode()(lambda: self.network.embed(images))

    def verification(self) -> Callable[[], float]:
        """The similarity of one pair, the two pictures embedded as a batch of two; waits for the answer."""
        images = self._images(2)

        @torch.inference_mode()
        def verify() -> float:
            left, right = self.network.embed(images).chunk(2)
            return float(similarity(self.network.compare(left, right)))

        return verify

    def _images(self, batch: int) -> Tensor:
        """float32 (B, C, H, W), -1..1; what they show makes no difference to the speed."""
        channels, side = self.header.network.input_shape
        noise = 2 * torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(0)) - 1
        return noise.to(self.device).contiguous(memory_format=torch.channels_last)


def load_bare(weights: Path, device: torch.device) -> BareNetwork:
    """Raises CheckpointError."""
    checkpoint = load(weights)
    return BareNetwork(header=checkpoint.header, network=fuse_for_inference(restore(checkpoint), device), device=device)


@dataclass(frozen=True, kw_only=True)
class PairRate:
    """Medians of one measurement."""

    pairs_per_s: float
    product_gflop_per_s: float


def measure_pairs(weights: Path, device: str, rounds: int) -> PairRate:
    """The bare network's pairs per second; of plain values, so that a process of its own can run it."""
    bare = load_bare(weights, select_device(device))
    works = {"pair": Work(run=bare.verification(), calls=8), "product": Work(run=matrix_product(bare.device))}
    seconds = interleave(works, rounds, bare.device)
    return PairRate(
        pairs_per_s=1 / median(seconds["pair"]), product_gflop_per_s=PRODUCT_FLOP / median(seconds["product"]) / 1e9
    )
