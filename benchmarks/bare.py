"""The speed of a checkpoint's network alone, as the service runs it: without decoding, HTTP or a queue.

B batch, H W pixels
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from app.engine.cpu_budget import own_cores
from benchmarks.machine import PRODUCT_FLOP, matrix_product
from benchmarks.timing import Work, interleave
from model.arrays import Embeddings, Pixels
from model.checkpoint import Header, load
from model.embedder import Embedder, open_embedder
from model.similarity import similarity


@dataclass(frozen=True, kw_only=True)
class BareNetwork:
    """A checkpoint's network on a device, in the runtime that the service uses there."""

    header: Header
    embedder: Embedder

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return torch.device(self.embedder.device)

    def embedding(self, batch: int) -> Callable[[], Embeddings]:
        """A function that embeds `batch` crops."""
        crops = self._crops(batch)
        return lambda: self.embedder.embed(crops)

    def verification(self) -> Callable[[], float]:
        """A function that embeds a pair as a batch of two, and returns its similarity."""
        crops = self._crops(2)

        def verify() -> float:
            embeddings = self.embedder.embed(crops)
            return float(similarity(self.embedder.compare(embeddings[:1], embeddings[1:]))[0])

        return verify

    def _crops(self, batch: int) -> Pixels:
        """uint8 (B, H, W) or (B, H, W, 3); noise, since the content does not change the speed."""
        channels, side = self.header.network.input_shape
        shape = (batch, side, side) if channels == 1 else (batch, side, side, channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def load_bare(weights: Path, device: str, threads: int | None = None) -> BareNetwork:
    """`threads` is for a CPU; None takes one a core. Raises CheckpointError or DeviceError."""
    checkpoint = load(weights)
    return BareNetwork(header=checkpoint.header, embedder=open_embedder(checkpoint, device, threads or own_cores()))


@dataclass(frozen=True, kw_only=True)
class PairRate:
    """The medians of one measurement."""

    pairs_per_s: float
    product_gflop_per_s: float


def measure_pairs(weights: Path, device: str, rounds: int) -> PairRate:
    """The bare network's pairs per second. All values can be pickled, so that another process can run it."""
    bare = load_bare(weights, device)
    works = {"pair": Work(run=bare.verification(), calls=8), "product": Work(run=matrix_product(bare.device))}
    seconds = interleave(works, rounds, bare.device)
    return PairRate(
        pairs_per_s=1 / median(seconds["pair"]), product_gflop_per_s=PRODUCT_FLOP / median(seconds["product"]) / 1e9
    )
