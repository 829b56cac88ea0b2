"""Where the work of a request is done: decoding and face finding on a few threads, the network on one of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from app.sighting import Choice, Sighting, see
from app.telemetry import Metrics
from model.faces import FaceFinder
from model.photographs import ImageLimits, decode
from model.preprocessing import Pixels
from model.verifier import Embeddings, Verifier

T = TypeVar("T")

BATCH = 16
"""Images that go through the network together; a crowd of faces in one request takes several rounds."""


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[T]):
    """A result, and how long it waited for the network's thread and then took there."""

    value: T
    queue_s: float
    inference_s: float


class Inference:
    """The verifier behind its thread, and the decoders. Closing it waits for what runs."""

    def __init__(
        self,
        verifier: Verifier,
        finder: FaceFinder,
        metrics: Metrics,
        *,
        limits: ImageLimits,
        most_faces: int,
        decoders: int,
    ) -> None:
        self.header = verifier.header
        self.device = verifier.device
        self._verifier = verifier
        self._finder = finder
        self._limits = limits
        self._most_faces = most_faces
        self._metrics = metrics
        self._network = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        self._decoders = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="decoder")

    async def see(self, data: bytes, choice: Choice) -> Sighting:
        """The bytes of an image -> what the network sees of it. Raises ImageError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._see, data, choice)

    async def embed(self, images: Sequence[Pixels]) -> Timed[Embeddings]:
        """B images uint8 (H, W) -> float32 (B, D). Raises InferenceError."""

        def work() -> Embeddings:
            chunks = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
            return np.concatenate([self._verifier.embed(np.stack(chunk)) for chunk in chunks])

        return await self._on_network(work)

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

    def _see(self, data: bytes, choice: Choice) -> Sighting:
        started = time.perf_counter()
        photograph = decode(data, self.header.preprocessing, self._limits)
        self._metrics.stage_seconds.labels("decode").observe(time.perf_counter() - started)
        sighting = see(photograph, choice, self.header, self._finder, self._most_faces)
        if self.header.preprocessing.alignment:
            self._metrics.stage_seconds.labels("face").observe(sighting.face_s)
        return sighting

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
