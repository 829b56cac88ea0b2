"""Where the work of a request is done: decoding and face finding on a few threads, the network on others."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from typing import TypeVar, cast

import numpy as np
import torch

from app.analysis import Choice, FaceAllowance, ImageAnalysis, analyse
from app.batching import BUSY, Batcher, DeadlinePassed, Timed
from app.cores import Threads
from app.draining import Drain
from app.metrics import Metrics
from model.arrays import Embeddings, Pixels
from model.device import LOST, release_memory
from model.errors import DeviceExhausted, DeviceLost
from model.faces import FaceFinder
from model.photographs import ImageLimits, decode
from model.verifier import Verifier

logger = logging.getLogger("facepair")

T = TypeVar("T")

# For so long after two requests were in progress at once the next are taken to be so too.
CROWD_S = 1.0
TOO_SLOW = "an image was not decoded and searched for faces in time; send the request again, or a smaller image"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Images as the network sees them, and what is made of their embeddings (B, D), on the network's threads too."""

    images: Sequence[Pixels]
    finish: Callable[[Embeddings], object]


class _Upload:
    """The bytes of an image until a decoder takes them. Dropped bytes are freed although the decoders' queue goes on to
    hold the upload.
    """

    def __init__(self, data: bytes) -> None:
        self._data = [data]  # a list, since only one thread can pop its element

    def take(self) -> bytes:
        """The bytes. Raises DeadlinePassed if nobody waits for them any more."""
        try:
            return self._data.pop()
        except IndexError:
            raise DeadlinePassed from None

    @property
    def taken(self) -> bool:
        """Whether a decoder has taken the bytes, or they were dropped."""
        return not self._data

    def drop(self) -> None:
        """Lets them go, if they are there still."""
        self._data.clear()


class Inference:
    """The verifier behind its threads, and the decoders. Closing it waits for what runs."""

    def __init__(
        self,
        verifier: Verifier,
        finder: FaceFinder,
        metrics: Metrics,
        *,
        limits: ImageLimits,
        decoders: int,
        threads: Threads,
        max_batch: int,
        drain: Drain,
    ) -> None:
        """`drain` is told when the device is lost."""
        self.header = verifier.header
        self.device = verifier.device
        self._verifier = verifier
        self._finder = finder
        self._limits = limits
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
            threads=min(2, threads.alone // threads.beside) if self.device.type == "cpu" else 1,
            may_join=lambda: not self._analysing,
        )
        self._decoders = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="decoder")

    async def analyse(self, data: bytes, choice: Choice, faces: FaceAllowance, deadline: float = inf) -> ImageAnalysis:
        """The bytes of an image -> what the network sees of it. `faces` are those that the request may still have.

        Raises ImageError, or DeadlinePassed when that moment of `time.perf_counter` comes first.
        """
        upload, asked = _Upload(data), time.perf_counter()
        if deadline <= asked:
            raise DeadlinePassed
        self._analysing += 1
        try:
            async with asyncio.timeout(None if deadline == inf else deadline - asked):
                return await asyncio.get_running_loop().run_in_executor(
                    self._decoders, self._analyse, upload, choice, faces, asked
                )
        except TimeoutError:
            raise DeadlinePassed(TOO_SLOW if upload.taken else BUSY) from None
        finally:
            self._analysing -= 1
            upload.drop()

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

    def fault(self, hung_s: float) -> str | None:
        """What keeps the network from working, if anything does: a thread has ended, or a pass takes so long."""
        if self._network.ended:
            return "a thread of the network has ended"
        if self._network.stalled_s > hung_s:
            return f"the network has been at one pass for more than {hung_s:g} s"
        return None

    def close(self) -> None:
        """Ends the threads after what they have begun."""
        self._decoders.shutdown()
        self._network.close()

    def _analyse(self, upload: _Upload, choice: Choice, faces: FaceAllowance, asked: float) -> ImageAnalysis:
        started = time.perf_counter()
        data = upload.take()
        self._metrics.stage_seconds.labels("decoder_queue").observe(started - asked)
        photograph = decode(data, self.header.preprocessing, self._limits)
        self._metrics.stage_seconds.labels("decode").observe(time.perf_counter() - started)
        analysis = analyse(photograph, choice, self.header, self._finder, faces)
        if self.header.preprocessing.alignment:
            self._metrics.stage_seconds.labels("face").observe(analysis.face_s)
        return analysis

    async def _on_network(
        self, images: Sequence[Pixels], finish: Callable[[Embeddings], T], deadline: float, *, probe: bool = False
    ) -> Timed[T]:
        """What `finish` makes of the images' embeddings, timed in the metrics unless it is a `probe`."""
        result = await self._network.run(_Job(images=images, finish=finish), size=len(images), deadline=deadline)
        if not probe:
            self._metrics.stage_seconds.labels("network_queue").observe(result.queue_s)
            self._metrics.stage_seconds.labels("inference").observe(result.work_s)
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
        """A pass has every core while requests come one at a time, and shares them with other passes and after a crowd.

        The canary's pairs, which balancers ask for all the time, are no crowd.
        """
        now = time.perf_counter()
        if requests > 1 or (requests and self._analysing):
            self._crowded = now
        alone = self._network.alone and now - self._crowded > CROWD_S
        torch.set_num_threads(self._threads.alone if alone else self._threads.beside)

    def _attempt(self, jobs: list[_Job], max_batch: int) -> list[object]:
        """What each job asked for, or the exception that it ended in, in passes of at most `max_batch` images."""
        if self._drain.device_lost:
            return [DeviceLost(LOST)] * len(jobs)
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
            release_memory(self.device)
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
