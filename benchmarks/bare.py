"""The speed of a checkpoint's network alone: without decoding, HTTP or a queue.

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
from model.networks.architecture import restore
from model.networks.device import select_device
from model.networks.face_network import FaceNetwork
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity


@dataclass(frozen=True, kw_only=True)
class BareNetwork:
    """A checkpoint's network on a device, fused and with the memory format that the service uses."""

    header: Header
    network: FaceNetwork
    device: torch.device

    def embedding(self, batch: int) -> Callable[[], Tensor]:
        """A function that embeds `batch` crops, which are already on the device."""
        images = self._images(batch)
        return torch.inference_mode()(lambda: self.network.embed(images))

    def verification(self) -> Callable[[], float]:
        """A function that embeds a pair as a batch of two, and returns its similarity when the device has finished."""
        images = self._images(2)

        @torch.inference_mode()
        def verify() -> float:
            left, right = self.network.embed(images).chunk(2)
            return float(similarity(self.network.compare(left, right)))

        return verify

    def _images(self, batch: int) -> Tensor:
        """float32 (B, C, H, W), -1 to 1; noise, since the content does not change the speed."""
        channels, side = self.header.network.input_shape
        noise = 2 * torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(0)) - 1
        return noise.to(self.device).contiguous(memory_format=torch.channels_last)


def load_bare(weights: Path, device: torch.device) -> BareNetwork:
    """Raises CheckpointError."""
    checkpoint = load(weights)
    return BareNetwork(header=checkpoint.header, network=fuse_for_inference(restore(checkpoint), device), device=device)


@dataclass(frozen=True, kw_only=True)
class PairRate:
    """The medians of one measurement."""

    pairs_per_s: float
    product_gflop_per_s: float


def measure_pairs(weights: Path, device: str, rounds: int) -> PairRate:
    """The bare network's pairs per second. All values can be pickled, so that another process can run it."""
    bare = load_bare(weights, select_device(device))
    works = {"pair": Work(run=bare.verification(), calls=8), "product": Work(run=matrix_product(bare.device))}
    seconds = interleave(works, rounds, bare.device)
    return PairRate(
        pairs_per_s=1 / median(seconds["pair"]), product_gflop_per_s=PRODUCT_FLOP / median(seconds["product"]) / 1e9
    )
