"""The decoders of a service, each replaced when it ends, and the images that wait for them."""

import asyncio
import logging
import pickle
import struct
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from math import inf

from app.engine.batching import BUSY, DeadlinePassed
from app.engine.decoder import LENGTH, Answer, Setup, Task, anew
from app.engine.decoder_process import DecoderProcess
from app.engine.fork_server import ForkServer
from model.errors import FacepairError, UndecodableImage
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis

logger = logging.getLogger("facepair")

# An image whose decoder ends is tried once more: it may have been the memory, or somebody's hand.
ATTEMPTS = 2
# How long the first decoders may take to be there, and the pause after one that did not get so far.
STARTING_S = 60.0
PAUSE_S = 1.0
FORESEEN = (EOFError, OSError, FacepairError)
TOO_SLOW = "an image was not decoded and searched for faces in time; send the request again, or a smaller image"
LETHAL = "decoding it ended the process that tried; send it in another form, such as PNG"


class DecodersError(FacepairError):
    """No decoder could be started."""


def try_out(fork_server: ForkServer, setup: Setup) -> None:
    """Starts a decoder and lets it go, before there is an event loop. Raises DetectorError or DecodersError."""
    try:
        with fork_server.fork() as channel:
            channel.settimeout(STARTING_S)
            channel.sendall(pickle.dumps(setup))
            with channel.makefile("rb") as stream:
                LENGTH.unpack(stream.read(LENGTH.size))
                answer = pickle.load(stream)  # noqa: S301 (of a process of ours)
    except (OSError, struct.error) as error:
        raise DecodersError(f"no decoder could be started: {_reason(error)}") from error
    if isinstance(answer, Exception):
        raise answer


class Decoders:
    """So many decoders. They belong to one event loop."""

    def __init__(
        self, fork_server: ForkServer, setup: Setup, count: int, observe: Callable[[str, float], None]
    ) -> None:
        """`observe` is told each stage of an image and the seconds that it took, those of callers who left too."""
        self.pids: set[int] = set()
        """The processes that are ready or at work."""
        self._fork_server = fork_server
        self._setup = setup
        self._count = count
        self._observe = observe
        self._idle: asyncio.Queue[DecoderProcess] = asyncio.Queue()
        self._complete = asyncio.Event()
        self._last_there = time.perf_counter()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when all are there. Raises DecodersError."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._count)]
        try:
            await asyncio.wait_for(self._complete.wait(), STARTING_S)
        except TimeoutError as error:
            await self.close()
            raise DecodersError("no decoder could be started; the log says why") from error

    async def close(self) -> None:
        """Lets them go; each ends after the image that it is at."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    @property
    def missing_s(self) -> float:
        """For how many seconds there has been none; 0 if there is one."""
        return 0.0 if self.pids else time.perf_counter() - self._last_there

    async def analyse(self, data: bytes, choice: Choice, faces: FaceAllowance, deadline: float = inf) -> ImageAnalysis:
        """The bytes of an image -> what the network sees of it; `faces` is asked as the image begins, and not changed.

        Raises ImageError, DecoderFault, or DeadlinePassed when that moment of `time.perf_counter` comes first. A
        decoder that has begun goes on for nobody.
        """
        for _ in range(ATTEMPTS):
            if answer := await self._attempt(data, choice, faces, deadline):
                if isinstance(answer.outcome, Exception):
                    raise anew(answer.outcome)
                return answer.outcome
        raise UndecodableImage(LETHAL)

    async def _attempt(self, data: bytes, choice: Choice, faces: FaceAllowance, deadline: float) -> Answer | None:
        """None if the decoder ended."""
        asked, begun = time.perf_counter(), False
        if deadline <= asked:
            raise DeadlinePassed
        try:
            async with asyncio.timeout(None if deadline == inf else deadline - asked):
                decoder = await self._free()
                begun = True
                self._observe("decoder_queue", time.perf_counter() - asked)
                return await asyncio.shield(self._ask(decoder, Task(data=data, choice=choice, faces=faces)))
        except TimeoutError:
            raise DeadlinePassed(TOO_SLOW if begun else BUSY) from None

    async def _free(self) -> DecoderProcess:
        while (decoder := await self._idle.get()).ended.is_set():
            pass
        return decoder

    def _ask(self, decoder: DecoderProcess, task: Task) -> "asyncio.Future[Answer | None]":
        try:
            answering = decoder.ask(pickle.dumps(task))
        except BaseException:  # such as a lack of memory: nobody knows what it was told
            decoder.abandon()
            raise
        answering.add_done_callback(partial(self._finish, decoder))
        return answering

    def _finish(self, decoder: DecoderProcess, answering: "asyncio.Future[Answer | None]") -> None:
        """Called when a decoder has answered or ended, whether somebody waits for it or not."""
        if answer := answering.result():
            self._idle.put_nowait(decoder)
            for stage, seconds in answer.seconds.items():
                self._observe(stage, seconds)

    async def _keep(self) -> None:
        """One process after the other, whatever happens."""
        while True:
            try:
                await self._live()
            except Exception as error:
                fields = {"reason": _reason(error), "again_in_s": PAUSE_S}
                unforeseen = not isinstance(error, FORESEEN)
                logger.error("decoder could not be started", exc_info=unforeseen, extra={"fields": fields})
                await asyncio.sleep(PAUSE_S)

    async def _live(self) -> None:
        """One process, from its start to its end. Raises an exception if it is never ready."""
        loop = asyncio.get_running_loop()
        transport, decoder = await loop.create_connection(DecoderProcess, sock=self._fork_server.fork())
        with closing(transport):
            decoder.begin(self._setup)
            pid = await self._wait_for(decoder)
            self.pids.add(pid)
            if len(self.pids) == self._count:
                self._complete.set()
            self._idle.put_nowait(decoder)
            try:
                await decoder.ended.wait()
            finally:
                self.pids.discard(pid)
                self._last_there = time.perf_counter()

    async def _wait_for(self, decoder: DecoderProcess) -> int:
        """Its number, when it is ready. A fork server that does not get so far is not asked again."""
        try:
            return await asyncio.wait_for(decoder.pid, STARTING_S)
        except TimeoutError:
            self._fork_server.kill()
            raise


def _reason(error: Exception) -> str:
    """Why a decoder was not ready."""
    if isinstance(error, TimeoutError):
        return f"it was not ready within {STARTING_S:g} s"
    if isinstance(error, EOFError | ConnectionError | struct.error):
        return "it ended before it was ready"
    return str(error) if isinstance(error, FORESEEN) else type(error).__name__
