"""The decoders of a service, each replaced when it ends, and the images that wait for a free one."""

import asyncio
import logging
import pickle
import time
from collections.abc import Callable, Mapping
from functools import partial
from math import inf

from app.engine.answer_headers import Ready
from app.engine.answers import DecodeResult
from app.engine.batching import MSG_BUSY, DeadlinePassed
from app.engine.cpu_budget import large_images_of
from app.engine.decoder import DecoderConfig, DecodeRequest, without_traceback
from app.engine.decoder_process import DecoderProcess
from app.engine.decoder_trial import EXPECTED, STARTING_S, DecodersError, reason_of
from app.engine.fork_server import ForkServer
from app.engine.sandbox.confinement import Sandbox
from model.errors import UndecodableImage
from model.imaging.analysis import ImageAnalysis
from model.imaging.headers import LARGE_WORK_PX, read_header

logger = logging.getLogger("facepair")

# An image whose decoder ends is tried once more: the cause may have been a lack of memory, or a person's `kill`.
ATTEMPTS = 2
# The pause after a decoder that was not ready.
PAUSE_S = 1.0
# A new decoder takes milliseconds. After this time without one, its predecessor gets further images.
OVERDUE_S = 1.0
MSG_TOO_SLOW = "an image was not decoded and searched for faces in time; send the request again, or a smaller image"
MSG_CRASHED_DECODER = "decoding it ended the process that tried; send it in another form, such as PNG"


class Decoders:
    """A fixed number of decoders. They belong to one event loop."""

    def __init__(
        self, fork_server: ForkServer, config: DecoderConfig, count: int, observe: Callable[[Mapping[str, float]], None]
    ) -> None:
        """`observe` is called with the stages of an image and their seconds, also for callers who have left."""
        self._decoders: set[DecoderProcess] = set()
        """One for each keeper: the latest that was ready."""
        self._sandbox: Sandbox | None = None
        self._fork_server = fork_server
        self._config = config
        self._pickled = pickle.dumps(config)
        self._count = count
        self._claims = 0
        """Images that a decoder has, or that wait until any is free."""
        self._observe = observe
        self._idle: asyncio.LifoQueue[DecoderProcess] = asyncio.LifoQueue()
        """The latest to become idle gets the next image: its caches are warm."""
        self._large = asyncio.Semaphore(large_images_of(count))
        self._complete = asyncio.Event()
        self._made_at = time.perf_counter()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when all are ready. Raises DecodersError."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]
        try:
            await asyncio.wait_for(self._complete.wait(), STARTING_S)
        except TimeoutError as error:
            await self.close()
            raise DecodersError("no decoder could be started; the log says why") from error

    async def close(self) -> None:
        """Lets them end, each after the image that it has begun."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    @property
    def sandbox(self) -> Sandbox:
        """What the decoders cannot do. They must have been started."""
        if self._sandbox is None:
            raise DecodersError("no decoder has been ready")
        return self._sandbox

    @property
    def pids(self) -> set[int]:
        """The processes that are ready or busy."""
        return {each.ready.result().pid for each in self._decoders if not each.ended.is_set()}

    @property
    def images(self) -> int:
        """How many images have a decoder, or will as soon as one is free; a large image may have to wait longer."""
        return self._claims

    @property
    def busy(self) -> int:
        """How many decoders have an image, or will as soon as they are free."""
        return min(self.images, self._count)

    @property
    def missing_s(self) -> float:
        """For how many seconds there has been no decoder; 0 if there is one."""
        if self.pids:
            return 0.0
        return time.perf_counter() - max([self._made_at, *(each.ended_at for each in self._decoders)])

    async def analyse(self, request: DecodeRequest, deadline: float = inf) -> ImageAnalysis:
        """What the network sees of an image. A decoder gets a copy of the request when it begins.

        Raises ImageError, DecoderFault, or DeadlinePassed when that moment of `time.perf_counter` comes first. A
        decoder that has begun finishes the image even if the caller leaves.
        """
        for _ in range(ATTEMPTS):
            if result := await self._attempt(request, deadline):
                if isinstance(result.outcome, Exception):
                    raise without_traceback(result.outcome)
                return result.outcome
        raise UndecodableImage(MSG_CRASHED_DECODER)

    async def _attempt(self, request: DecodeRequest, deadline: float) -> DecodeResult | None:
        """None if the decoder ended. One that was stopped says nothing of the image, which the next gets."""
        asked, begun = time.perf_counter(), False
        large = read_header(request.image).work >= LARGE_WORK_PX
        if deadline <= asked:
            raise DeadlinePassed
        try:
            async with asyncio.timeout(None if deadline == inf else deadline - asked):
                while True:
                    decoder, give_back = await self._free_decoder(large)
                    begun = True
                    self._observe({"decoder_queue": time.perf_counter() - asked})
                    result = await asyncio.shield(self._send(decoder, request, give_back))
                    if result or not decoder.stopped:
                        return result
        except TimeoutError:
            raise DeadlinePassed(MSG_TOO_SLOW if begun else MSG_BUSY) from None

    async def _free_decoder(self, large: bool) -> tuple[DecoderProcess, Callable[[], None]]:
        """A decoder, and what to call when it has done its image."""
        if not large:
            return await self._next_idle(), _nothing
        await self._large.acquire()
        try:
            return await self._next_idle(), self._large.release
        except BaseException:
            self._large.release()
            raise

    async def _next_idle(self) -> DecoderProcess:
        self._claims += 1
        try:
            while (decoder := await self._idle.get()).ended.is_set():
                pass
        except BaseException:
            self._claims -= 1
            raise
        return decoder

    def _send(
        self, decoder: DecoderProcess, request: DecodeRequest, give_back: Callable[[], None]
    ) -> "asyncio.Future[DecodeResult | None]":
        try:
            awaited = decoder.send(pickle.dumps(request), request.expected(self._config.preprocessing))
        except BaseException:  # such as a lack of memory: it is unknown what the decoder received
            self._claims -= 1
            give_back()
            decoder.end()
            raise
        awaited.add_done_callback(partial(self._finish, decoder, give_back))
        if decoder.images >= self._config.images:
            decoder.over.set()
        return awaited

    def _finish(
        self,
        decoder: DecoderProcess,
        give_back: Callable[[], None],
        awaited: "asyncio.Future[DecodeResult | None]",
    ) -> None:
        """Called when a decoder has a result or has ended, also if its caller has left."""
        self._claims -= 1
        give_back()
        if result := awaited.result():
            if decoder.dismissed:
                decoder.close()
            elif decoder.images < self._config.images or decoder.prolonged:
                self._idle.put_nowait(decoder)
            self._observe(result.seconds)

    async def _keep(self) -> None:
        """Runs one process after the other, also after unexpected failures; one leaves when the next is ready."""
        current: DecoderProcess | None = None
        try:
            while True:
                if not (successor := await self._succeed(current)):
                    await asyncio.sleep(PAUSE_S)
                    continue
                self._decoders = {*self._decoders, successor} - {current}
                self._idle.put_nowait(successor)
                if len(self.pids) == self._count:
                    self._complete.set()
                if current:
                    current.dismiss()
                current = successor
                await current.over.wait()
        finally:
            if current:
                current.close()

    async def _succeed(self, predecessor: DecoderProcess | None) -> DecoderProcess | None:
        """A process that is ready, or None. If it is late, the predecessor goes on although it has had its images."""
        overdue = asyncio.get_running_loop().call_later(OVERDUE_S, self._prolong, predecessor)
        try:
            return await self._start()
        except Exception as error:
            fields = {"reason": reason_of(error), "again_in_s": PAUSE_S}
            unexpected = not isinstance(error, EXPECTED)
            logger.error("decoder could not be started", exc_info=unexpected, extra={"fields": fields})
            self._prolong(predecessor)
            return None
        finally:
            overdue.cancel()

    def _prolong(self, decoder: DecoderProcess | None) -> None:
        if decoder is None or decoder.ended.is_set() or decoder.prolonged:
            return
        logger.warning(
            "decoder goes on after its images: no other is ready", extra={"fields": {"images": decoder.images}}
        )
        decoder.prolonged = True
        if not decoder.busy:
            self._idle.put_nowait(decoder)

    async def _start(self) -> DecoderProcess:
        """A process that is ready. Raises an exception if it never is."""
        loop = asyncio.get_running_loop()
        started = partial(DecoderProcess, self._config.limit_s)
        _, decoder = await loop.create_connection(started, sock=self._fork_server.fork(self._pickled))
        try:
            self._sandbox = (await self._wait_until_ready(decoder)).sandbox
        except BaseException:
            decoder.close()
            raise
        return decoder

    async def _wait_until_ready(self, decoder: DecoderProcess) -> Ready:
        """Its first message. If it is not ready in time, the fork server is replaced, too: it may hang."""
        try:
            async with asyncio.timeout(STARTING_S):  # wait_for would lose a cancellation at that moment
                return await decoder.ready
        except TimeoutError:
            self._fork_server.kill()
            raise


def _nothing() -> None:
    """What a small image gives back."""
