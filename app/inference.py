"""Where the work of a request is done: images decoded beside the event loop, the network on one thread of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from app.telemetry import Metrics
from model.crops import shrink
from model.photographs import Format, ImageLimits, decode
from model.preprocessing import Pixels
from model.verifier import Embeddings, Verifier

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image as the network sees it, uint8 (H, W), and what the answer says of its file.

    The decoded picture itself is let go: it may take megabytes, and a request may have many.
    """

    pixels: Pixels
    format: Format
    width_px: int
    height_px: int


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[T]):
    """A result, and how long it waited for the network's thread and then took there."""

    value: T
    queue_s: float
    inference_s: float


class Inference:
    """The verifier behind its thread, and the decoders. Closing it waits for what runs."""

    def __init__(self, verifier: Verifier, limits: ImageLimits, decoders: int, metrics: Metrics) -> None:
        self.header = verifier.header
        self.device = verifier.device
        self._verifier = verifier
        self._limits = limits
        self._metrics = metrics
        self._network = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._decoders = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="decoder")

    async def prepare(self, data: bytes) -> Prepared:
        """The bytes of an image -> what the network sees. Raises ImageError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._prepare, data)

    async def embed(self, images: Sequence[Pixels]) -> Timed[Embeddings]:
        """B images uint8 (H, W) -> float32 (B, D). Raises InferenceError."""
        return await self._on_network(lambda: self._verifier.embed(np.stack(images)))

    async def compare(self, left: Embeddings, right: Embeddings) -> Timed[float]:
        """Two embeddings float32 (D,) -> their similarity. Raises InferenceError."""
        return await self._on_network(lambda: float(self._verifier.compare(left[None], right[None])[0]))

    async def verify(self, left: Pixels, right: Pixels) -> Timed[float]:
        """Two images uint8 (H, W) -> their similarity, exactly as embedding and comparing gives it."""

        def work() -> float:
            embeddings = self._verifier.embed(np.stack([left, right]))
            return float(self._verifier.compare(embeddings[:1], embeddings[1:])[0])

        return await self._on_network(work)

    async def check_canary(self) -> None:
        """Raises CheckpointError if the network does not reproduce the recorded score."""
        await self._on_network(self._verifier.check_canary)

    def close(self) -> None:
        """Ends the threads after what they have begun."""
        self._decoders.shutdown()
        self._network.shutdown()

    def _prepare(self, data: bytes) -> Prepared:
        started = time.perf_counter()
        config = self.header.preprocessing
        photograph = decode(data, config, self._limits)
        prepared = Prepared(
            pixels=shrink(photograph, config),
            format=photograph.format,
            width_px=photograph.width_px,
            height_px=photograph.height_px,
        )
        self._metrics.stage_seconds.labels("decode").observe(time.perf_counter() - started)
        return prepared

    async def _on_network(self, work: Callable[[], T]) -> Timed[T]:
        asked = time.perf_counter()

        def timed() -> Timed[T]:
            started = time.perf_counter()
            value = work()
            return Timed(value=value, queue_s=started - asked, inference_s=time.perf_counter() - started)

        result = await asyncio.get_running_loop().run_in_executor(self._network, timed)
        self._metrics.stage_seconds.labels("queue").observe(result.queue_s)
        self._metrics.stage_seconds.labels("inference").observe(result.inference_s)
        return result
