"""Where the work of a request is done: images are decoded in processes, and the network runs on threads.

Passes run side by side. A pass has one thread while the cores have other work, and is divided among those that have
none.

B crops, D embedding
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self, TypeVar, cast

import numpy as np

from app.engine.batching import Batcher, Timed
from app.engine.decoder import DecodeRequest
from app.engine.decoder_pool import Decoders
from app.lifecycle import Drain
from app.metrics import Metrics
from app.token_bucket import TokenBucket
from model.arrays import Embeddings, Pixels
from model.averaging import mean_embedding
from model.conditions import ComparedPair
from model.errors import MSG_DEVICE_LOST, DeviceExhausted, DeviceLost
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis
from model.verifier import Verifier

logger = logging.getLogger("facepair")

T = TypeVar("T")

# A crop costs hardly less in a pass of more crops than this for each thread.
ENOUGH_CROPS = 8
# A pass waits until it has one in so many of the crops and images that are here: with few requests the rest of them are
# in another pass, or must first be answered.
ONE_IN = 3
# A request hands on its crops this soon after its last image: a pass that waited for more then has them, too.
SOON_S = 0.002
# Passes of the canary pair for readiness.
CHECKS_PER_S = 10


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Crops, and what is made of their embeddings (B, D), also on a thread of the network."""

    crops: Sequence[Pixels]
    finish: Callable[[Embeddings], object]


class Inference:
    """The verifier on its threads, and the decoders. As a context it starts the decoders; its end waits for the passes
    of the network that run.
    """

    def __init__(
        self,
        verifier: Verifier,
        decoders: Decoders,
        metrics: Metrics,
        *,
        cores: int,
        threads: int,
        max_batch: int,
        drain: Drain,
    ) -> None:
        """On a CPU the network has at most that many `threads`, which share the `cores` with the decoders.

        `drain` is told when the device is lost.
        """
        self.header = verifier.header
        self.device = verifier.embedder.device
        self.decoders = decoders
        self._verifier = verifier
        self._metrics = metrics
        self._max_batch = max_batch
        self._drain = drain
        self._cores, self._threads = cores, threads
        self._canary_checks = TokenBucket(CHECKS_PER_S)
        self._canary_check: asyncio.Future[Timed[None]] | None = None
        workers = threads if self.device == "cpu" else 1
        self._network: Batcher[_Job, object] = Batcher(
            self._work, max_size=max_batch, name="network", workers=workers, holds=self._await_more
        )

    async def __aenter__(self) -> Self:
        """Raises DecodersError."""
        await self.decoders.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.decoders.close()
        self._network.close()

    async def analyse(
        self, image: bytes, choice: Choice, allowance: FaceAllowance, deadline: float = inf
    ) -> ImageAnalysis:
        """The bytes of an image -> what the network sees of it. `allowance` is what the request has left.

        Raises ImageError, or DeadlinePassed when that moment of `time.perf_counter` comes first.
        """
        try:
            request = DecodeRequest(image=image, choice=choice, allowance=allowance)
            analysis = await self.decoders.analyse(request, deadline)
        finally:
            asyncio.get_running_loop().call_later(SOON_S, self._network.begin)
        if analysis.all_faces:
            allowance.take(len(analysis.faces))
        return analysis

    async def embed(self, crops: Sequence[Pixels], deadline: float = inf) -> Timed[Embeddings]:
        """B crops, or none -> float32 (B, D). Raises InferenceError or DeadlinePassed."""
        return await self._on_network(crops, lambda embeddings: embeddings, deadline)

    async def compare(self, left: Embeddings, right: Embeddings, deadline: float = inf) -> Timed[ComparedPair]:
        """Two embeddings float32 (D,) compared. Raises InferenceError or DeadlinePassed."""

        def finish(_: Embeddings) -> ComparedPair:
            return self._verifier.compare_pairs(left[None], right[None])[0]

        return await self._on_network([], finish, deadline)

    async def verify(
        self, left: Sequence[Pixels], right: Sequence[Pixels], deadline: float = inf
    ) -> Timed[ComparedPair]:
        """The crops of two sides compared, with the result of embedding, averaging and comparing.

        Raises InferenceError or DeadlinePassed.
        """

        def finish(embeddings: Embeddings) -> ComparedPair:
            unit_parts = self.header.network.unit_parts
            sides = np.split(embeddings, [len(left)])
            one, other = (mean_embedding(side, unit_parts) for side in sides)
            return self._verifier.compare_pairs(one[None], other[None])[0]

        return await self._on_network([*left, *right], finish, deadline)

    async def verify_pairs(
        self, crops: Sequence[Pixels], pairs: Sequence[tuple[int, int]], deadline: float = inf
    ) -> Timed[list[ComparedPair]]:
        """Crops, and which of them make pairs -> each pair compared, each crop embedded once.

        Raises InferenceError or DeadlinePassed.
        """
        left, right = [one for one, _ in pairs], [other for _, other in pairs]

        def finish(embeddings: Embeddings) -> list[ComparedPair]:
            return self._verifier.compare_pairs(embeddings[left], embeddings[right])

        return await self._on_network(crops, finish, deadline)

    async def check_canary(self) -> None:
        """Raises CheckpointError if the network does not reproduce the recorded score.

        Callers share a check that waits or runs, and beyond CHECKS_PER_S the last one, so any number of probes costs
        few passes.
        """
        if self._canary_check is None or (self._canary_check.done() and self._may_check(self._canary_check)):
            check = self._on_network([], lambda _: self._verifier.check_canary(), inf, probe=True)
            self._canary_check = asyncio.ensure_future(check)
            # Reads the exception even if all callers have left: asyncio would log it otherwise.
            self._canary_check.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._canary_check)

    def _may_check(self, last: "asyncio.Future[Timed[None]]") -> bool:
        failed = last.cancelled() or last.exception() is not None
        return failed or self._canary_checks.try_take()

    def _await_more(self, crops: int) -> bool:
        """Whether a pass of that size is small, and should wait for more while every core has an image or a pass."""
        enough = min(ENOUGH_CROPS, self._max_batch, (crops + self.decoders.images) // ONE_IN)
        busy = self.decoders.busy + self._network.running >= self._cores
        return self.device == "cpu" and crops < enough and busy

    def health_problem(self, hung_s: float) -> str | None:
        """What keeps the replica from working, if anything: a thread of the network has ended, a pass has taken longer
        than `hung_s`, or there has been no decoder for that long.
        """
        if self._network.ended:
            return "a thread of the network has ended"
        if self._network.seconds_since_progress > hung_s:
            return f"the network has been at one pass for more than {hung_s:g} s"
        if self.decoders.missing_s > hung_s:
            return f"there has been no decoder for more than {hung_s:g} s"
        return None

    async def _on_network(
        self, crops: Sequence[Pixels], finish: Callable[[Embeddings], T], deadline: float, *, probe: bool = False
    ) -> Timed[T]:
        """What `finish` makes of the crops' embeddings, timed in the metrics unless it is a `probe`."""
        result = await self._network.run(_Job(crops=crops, finish=finish), size=len(crops), deadline=deadline)
        if not probe:
            self._metrics.observe_stages({"network_queue": result.queue_s, "inference": result.work_s})
        if isinstance(result.value, Exception):
            raise result.value
        return cast("Timed[T]", result)

    def _work(self, jobs: list[_Job]) -> list[object]:
        """The result of each job, or the exception that it failed with. Called on the network's threads.

        Each job of a batch that fails is tried again by itself, crop by crop, as is one that needs too much memory.
        """
        results = self._attempt(jobs, self._max_batch)
        return [
            self._attempt([job], 1)[0] if _should_retry(result, len(jobs)) else result
            for job, result in zip(jobs, results, strict=True)
        ]

    def _attempt(self, jobs: list[_Job], max_batch: int) -> list[object]:
        """The result of each job, or the exception that it failed with, in passes of at most `max_batch` crops."""
        if self._drain.device_lost:
            return [DeviceLost(MSG_DEVICE_LOST)] * len(jobs)
        crops = [crop for job in jobs for crop in job.crops]
        try:
            ends = np.cumsum([len(job.crops) for job in jobs])
            shares = np.split(self._embed(crops, max_batch), ends[:-1])
            return [self._finish(job, embeddings) for job, embeddings in zip(jobs, shares, strict=True)]
        except Exception as error:
            self._note_fault(error)
            return [error] * len(jobs)

    def _note_fault(self, error: Exception) -> None:
        """Logs a fault of the device, and acts on it."""
        if isinstance(error, DeviceExhausted):
            logger.warning("the device is out of memory", exc_info=error)
            self._verifier.embedder.release_memory()
        if isinstance(error, DeviceLost) and not self._drain.device_lost:
            logger.error("the device was lost", exc_info=error)
            self._drain.device_lost = True

    def _embed(self, crops: Sequence[Pixels], max_batch: int) -> Embeddings:
        """B crops -> (B, D), in passes of at most `max_batch`, and on a CPU of ENOUGH_CROPS for each thread."""
        if not crops:
            return np.empty((0, self.header.network.dimension), np.float32)
        self._metrics.batch_images.observe(len(crops))
        passes: list[Embeddings] = []
        while (done := sum(map(len, passes))) < len(crops):
            self._network.note_progress()
            threads = self._threads_of_pass()
            size = min(max_batch, ENOUGH_CROPS * threads) if self.device == "cpu" else max_batch
            passes.append(self._verifier.embed(np.stack(crops[done : done + size]), threads))
        return np.concatenate(passes)

    def _threads_of_pass(self) -> int:
        """Among how many a pass is divided: its share of the cores that decode nothing, and at least one."""
        return max(1, min(self._threads, self._cores - self.decoders.busy) // max(1, self._network.running))

    def _finish(self, job: _Job, embeddings: Embeddings) -> object:
        self._network.note_progress()
        try:
            return job.finish(embeddings)
        except Exception as error:
            self._note_fault(error)
            return error


def _should_retry(result: object, jobs: int) -> bool:
    """Whether to retry this job by itself: it ran out of memory, or failed together with others."""
    return isinstance(result, DeviceExhausted) or (jobs > 1 and isinstance(result, Exception))
