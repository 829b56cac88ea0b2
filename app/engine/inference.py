"""Where the work of a request is done: decoding and face finding in processes, the network on a thread."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self, TypeVar, cast

import numpy as np

from app.engine.batching import Batcher, Timed
from app.engine.cpu_budget import Threads
from app.engine.decoder import Setup
from app.engine.decoder_pool import Decoders
from app.engine.fork_server import ForkServer
from app.lifecycle import Drain
from app.metrics import Metrics
from model.arrays import Embeddings, Pixels
from model.device import MSG_DEVICE_LOST
from model.errors import DeviceExhausted, DeviceLost
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis
from model.verifier import Verifier

logger = logging.getLogger("facepair")

T = TypeVar("T")

# For so long after two requests were in progress at once the next are taken to be so too.
CROWD_S = 1.0


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Images as the network sees them, and what is made of their embeddings (B, D), on the network's thread too."""

    images: Sequence[Pixels]
    finish: Callable[[Embeddings], object]


class Inference:
    """The verifier behind its thread, and the decoders, which are there inside its context. Its end waits for passes
    that run.
    """

    def __init__(
        self,
        verifier: Verifier,
        fork_server: ForkServer,
        metrics: Metrics,
        *,
        setup: Setup,
        decoders: int,
        threads: Threads,
        max_batch: int,
        drain: Drain,
    ) -> None:
        """`drain` is told when the device is lost."""
        self.header = verifier.header
        self.device = verifier.embedder.device
        self._verifier = verifier
        self._metrics = metrics
        self._max_batch = max_batch
        self._drain = drain
        self._threads = threads
        self._analysing = 0
        self._crowded = -inf
        self._checking: asyncio.Future[Timed[None]] | None = None
        self._network: Batcher[_Job, object] = Batcher(
            self._work,
            max_size=max_batch,
            name="network",
        )
        self.decoders = Decoders(fork_server, setup, decoders, self._observe)

    async def __aenter__(self) -> Self:
        """Raises DecodersError."""
        await self.decoders.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.decoders.close()
        self._network.close()

    async def analyse(self, data: bytes, choice: Choice, faces: FaceAllowance, deadline: float = inf) -> ImageAnalysis:
        """The bytes of an image -> what the network sees of it. `faces` are those that the request may still have.

        Raises ImageError, or DeadlinePassed when that moment of `time.perf_counter` comes first.
        """
        self._analysing += 1
        try:
            analysis = await self.decoders.analyse(data, choice, faces, deadline)
        finally:
            self._analysing -= 1
        if analysis.all_faces:
            faces.take(len(analysis.faces))
        return analysis

    async def embed(self, images: Sequence[Pixels], deadline: float = inf) -> Timed[Embeddings]:
        """B images as the network sees them, or none -> float32 (B, D). Raises InferenceError or DeadlinePassed."""
        return await self._on_network(images, lambda embeddings: embeddings, deadline)

    async def compare(self, left: Embeddings, right: Embeddings, deadline: float = inf) -> Timed[float]:
        """Two embeddings float32 (D,) -> their similarity. Raises InferenceError or DeadlinePassed."""

        def finish(_: Embeddings) -> float:
            return float(self._verifier.compare(left[None], right[None])[0])

        return await self._on_network([], finish, deadline)

    async def verify(self, left: Pixels, right: Pixels, deadline: float = inf) -> Timed[float]:
        """Two images as the network sees them -> their similarity, as embedding and comparing gives it.

        Raises InferenceError or DeadlinePassed.
        """

        def finish(embeddings: Embeddings) -> float:
            return float(self._verifier.compare(embeddings[:1], embeddings[1:])[0])

        return await self._on_network([left, right], finish, deadline)

    async def check_canary(self) -> None:
        """Raises CheckpointError if the network does not reproduce the recorded score.

        Whoever asks while a check has not begun or is under way waits for that one: any number of probes cost one pass.
        """
        if self._checking is None or self._checking.done():
            check = self._on_network([], lambda _: self._verifier.check_canary(), inf, probe=True)
            self._checking = asyncio.ensure_future(check)
            self._checking.add_done_callback(lambda done: done.cancelled() or done.exception())  # if nobody waits
        await asyncio.shield(self._checking)

    def health_problem(self, hung_s: float) -> str | None:
        """What keeps the replica from working, or None: the network's thread has ended, or a pass has taken longer than
        `hung_s`, or there has been no decoder for as long.
        """
        if self._network.ended:
            return "the thread of the network has ended"
        if self._network.seconds_since_progress > hung_s:
            return f"the network has been at one pass for more than {hung_s:g} s"
        if self.decoders.missing_s > hung_s:
            return f"there has been no decoder for more than {hung_s:g} s"
        return None

    def _observe(self, stage: str, seconds: float) -> None:
        self._metrics.stage_seconds.labels(stage).observe(seconds)

    async def _on_network(
        self, images: Sequence[Pixels], finish: Callable[[Embeddings], T], deadline: float, *, probe: bool = False
    ) -> Timed[T]:
        """What `finish` makes of the images' embeddings, timed in the metrics unless it is a `probe`."""
        result = await self._network.run(_Job(images=images, finish=finish), size=len(images), deadline=deadline)
        if not probe:
            self._observe("network_queue", result.queue_s)
            self._observe("inference", result.work_s)
        if isinstance(result.value, Exception):
            raise result.value
        return cast("Timed[T]", result)

    def _work(self, jobs: list[_Job]) -> list[object]:
        """What each job asked for, or the exception that it ended in.

        Of a batch that fails each job is tried again alone and image by image, as is one that needs too much memory.
        """
        self._take_cores(sum(bool(job.images) for job in jobs))
        results = self._attempt(jobs, self._max_batch)
        return [
            self._attempt([job], 1)[0] if _is_worth_another(result, len(jobs)) else result
            for job, result in zip(jobs, results, strict=True)
        ]

    def _take_cores(self, requests: int) -> None:
        """A pass has every core while requests come one at a time, and half of them after a crowd.

        The canary's pairs, which balancers ask for all the time, are no crowd.
        """
        now = time.perf_counter()
        if requests > 1 or (requests and self._analysing):
            self._crowded = now
        alone = now - self._crowded > CROWD_S
        self._verifier.embedder.use_threads(self._threads.alone if alone else self._threads.beside)

    def _attempt(self, jobs: list[_Job], max_batch: int) -> list[object]:
        """What each job asked for, or the exception that it ended in, in passes of at most `max_batch` images."""
        if self._drain.device_lost:
            return [DeviceLost(MSG_DEVICE_LOST)] * len(jobs)
        images = [image for job in jobs for image in job.images]
        try:
            ends = np.cumsum([len(job.images) for job in jobs])
            shares = np.split(self._embed(images, max_batch), ends[:-1])
            return [self._finish(job, embeddings) for job, embeddings in zip(jobs, shares, strict=True)]
        except Exception as error:
            self._note(error)
            return [error] * len(jobs)

    def _note(self, error: Exception) -> None:
        """Makes the log and the replica know what happened to the device."""
        if isinstance(error, DeviceExhausted):
            logger.warning("the device is out of memory", exc_info=error)
            self._verifier.embedder.release_memory()
        if isinstance(error, DeviceLost) and not self._drain.device_lost:
            logger.error("the device was lost", exc_info=error)
            self._drain.device_lost = True

    def _embed(self, images: Sequence[Pixels], max_batch: int) -> Embeddings:
        """(B, D) of B images, in passes of at most `max_batch`."""
        if not images:
            return np.empty((0, self.header.network.dimension), np.float32)
        self._metrics.batch_images.observe(len(images))
        passes = []
        for start in range(0, len(images), max_batch):
            self._network.note_progress()
            passes.append(self._verifier.embed(np.stack(images[start : start + max_batch])))
        return np.concatenate(passes)

    def _finish(self, job: _Job, embeddings: Embeddings) -> object:
        self._network.note_progress()
        try:
            return job.finish(embeddings)
        except Exception as error:
            self._note(error)
            return error


def _is_worth_another(result: object, jobs: int) -> bool:
    """Whether a result is an exception that the job may be spared alone, or in smaller passes."""
    return isinstance(result, DeviceExhausted) or (jobs > 1 and isinstance(result, Exception))
