"""A decoder as its service sees it: a process that is set up, asked, and listened to until it ends."""

import asyncio
import pickle
from typing import cast

from app.engine.decoder import LENGTH, Answer, Setup


class DecoderProcess(asyncio.Protocol):
    """One process, which takes one task at a time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pid: asyncio.Future[int] = loop.create_future()
        """The process's number, when it is ready. DetectorError or EOFError if it does not get so far."""
        self.ended = asyncio.Event()
        self._answer: asyncio.Future[Answer | None] | None = None
        self._received = bytearray()
        self._transport: asyncio.WriteTransport

    def begin(self, setup: Setup) -> None:
        """Tells it how to work."""
        self._transport.write(pickle.dumps(setup))

    def ask(self, task: bytes) -> "asyncio.Future[Answer | None]":
        """The answer to a pickled task, None if the process ends before it."""
        answering: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if self.ended.is_set():
            answering.set_result(None)
        else:
            self._transport.write(task)
            self._answer = answering
        return answering

    def abandon(self) -> None:
        """Lets it go, whatever it has been told."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, before all else."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's do not say so

    def data_received(self, data: bytes) -> None:
        """Called with the next part of an answer."""
        self._received += data
        if len(self._received) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._received)
        if len(self._received) < LENGTH.size + length:
            return
        answer = pickle.loads(memoryview(self._received)[LENGTH.size :])  # noqa: S301 (of a process of ours)
        self._received = bytearray()
        asked, self._answer = self._answer or self.pid, None
        if asked.done():  # the service gave up the wait at its own end
            return
        if isinstance(answer, Exception):
            asked.set_exception(answer)
        else:
            asked.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (a protocol's signature)
        """Called when the process has ended, or was let go."""
        self.ended.set()
        if not self.pid.done():
            self.pid.set_exception(EOFError())
        if self._answer and not self._answer.done():
            self._answer.set_result(None)
