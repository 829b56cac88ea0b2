"""A decoder as its service sees it, which believes no more of it than `app.engine.answers` can check."""

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from app.engine.answer_headers import Ready
from app.engine.answers import (
    LENGTHS,
    AnswerError,
    DecodeResult,
    Expected,
    unpack_first,
    unpack_lengths,
    unpack_result,
)
from app.engine.sandbox.confinement import SandboxError
from model.errors import DetectorError

logger = logging.getLogger("facepair")

# A decoder ends itself by a timer after the limit, unless it is stopped or has switched the timer off.
LATE_S = 1.0
# How often it is looked whether a busy decoder is stopped. Its image is then tried again by another.
LOOK_S = 0.5
# The system closes the socket of a decoder that has ended, unless a stopped fork server still has its end, too.
UNCLOSED_S = 0.2


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger; False where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "Tt"
    except OSError:
        return False


class DecoderProcess(asyncio.Protocol):
    """A decoder that is given one request at a time until it ends."""

    def __init__(self, limit_s: float) -> None:
        """`limit_s` is the time for one request; a decoder that takes longer is ended."""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Ready] = loop.create_future()
        """Its first message; DetectorError, SandboxError, AnswerError or EOFError if it never is ready."""
        self.ended = asyncio.Event()
        self.ended_at = 0.0
        """By `time.perf_counter`."""
        self.over = asyncio.Event()
        """It has ended, or has had its images."""
        self.images = 0
        """How many it was given."""
        self.prolonged = False
        """Whether it goes on although it has had its images."""
        self.dismissed = False
        self._limit_s = limit_s
        self._expected: Expected | None = None
        self._result: asyncio.Future[DecodeResult | None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self.stopped = False
        """Whether it was ended because it was stopped."""
        self._received = bytearray()
        self._handle: int | None = None
        self._transport: asyncio.WriteTransport

    def send(self, request: bytes, expected: Expected) -> "asyncio.Future[DecodeResult | None]":
        """The result of a pickled request, or None if the process ends first or says something else."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[DecodeResult | None] = loop.create_future()
        if self.ended.is_set():
            result.set_result(None)
        else:
            self._transport.write(request)
            self.images += 1
            self._result, self._expected = result, expected
            self._limit = loop.call_later(self._limit_s + LATE_S, self._end_late)
            self._look = loop.call_later(LOOK_S, self._end_if_stopped)
        return result

    def end(self) -> None:
        """Ends the process, also one that is stopped, and closes the socket even in the middle of a message."""
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self._transport.abort()

    @property
    def busy(self) -> bool:
        """Whether it has a request that it has not answered."""
        return self._result is not None

    def dismiss(self) -> None:
        """Lets the process end by itself, now or when the pool has its result."""
        self.dismissed = True
        if not self.busy:
            self.close()

    def close(self) -> None:
        """Lets the process end by itself when it has done its image, whose result is lost. One that is stopped would
        never end, and is ended.
        """
        self._note_ended()
        if not self._end_stopped():
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, before everything else."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's types do not say so

    def data_received(self, data: bytes) -> None:
        """Called with the next part of a message."""
        self._received += data
        try:
            self._take_message()
        except AnswerError as error:
            self._received = bytearray()
            fields = {"pid": self._known_pid(), "reason": str(error)}
            logger.error("decoder gave an invalid answer", extra={"fields": fields})
            if not self.ready.done():
                self.ready.set_exception(error)
            self.end()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (a protocol's signature)
        """Called when the process has ended, or the socket was closed here or there."""
        self._note_ended()
        self._clear_limit()
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None
        if not self.ready.done():
            self.ready.set_exception(EOFError())
        if self._result and not self._result.done():
            self._result.set_result(None)

    def eof_received(self) -> None:
        """Called when the other end is closed: by the process's end, or by a process that must not go on alone."""
        self.end()

    def _take_message(self) -> None:
        """Raises AnswerError."""
        if self._result is None and self.ready.done():
            raise AnswerError("an answer that nobody asked for")
        if len(self._received) < LENGTHS.size:
            return
        header, pixels = unpack_lengths(self._received, self._expected)
        end = LENGTHS.size + header + pixels
        if len(self._received) < end:
            return
        if len(self._received) > end:
            raise AnswerError("more than one answer")
        message, self._received = bytes(self._received), bytearray()
        text = message[LENGTHS.size : LENGTHS.size + header]
        if self._expected is None:
            self._become_ready(text)
        else:
            self._complete(unpack_result(text, message[LENGTHS.size + header :], self._expected))

    def _become_ready(self, header: bytes) -> None:
        """The process is still trusted: it has seen no image."""
        try:
            ready = unpack_first(header)
        except (DetectorError, SandboxError) as error:
            if not self.ready.done():
                self.ready.set_exception(error)
            return
        if not self.ready.done():  # the service stopped waiting when it ended
            with suppress(OSError, AttributeError):  # it has ended already, or the system is not Linux
                self._handle = os.pidfd_open(ready.pid)
                asyncio.get_running_loop().add_reader(self._handle, self._note_end, self._handle)
            self.ready.set_result(ready)

    def _note_end(self, handle: int) -> None:
        """Called when the process has ended."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(handle)
        loop.call_later(UNCLOSED_S, self.end)

    def _complete(self, result: DecodeResult) -> None:
        self._clear_limit()
        awaited, self._result = self._result, None
        if awaited and not awaited.done():
            awaited.set_result(result)

    def _end_late(self) -> None:
        """Called when the process has not answered in time, and its own timer has not ended it."""
        logger.error("decoder was late and is ended", extra={"fields": {"pid": self._known_pid()}})
        self.end()

    def _end_if_stopped(self) -> None:
        """Called while a request takes long."""
        if not self._end_stopped():
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._end_if_stopped)

    def _end_stopped(self) -> bool:
        """Ends the process if it is stopped, and returns whether it is."""
        pid = self._known_pid()
        if pid is None or not is_stopped(pid):
            return False
        logger.error("decoder was stopped and is ended", extra={"fields": {"pid": pid}})
        self.stopped = True
        self.end()
        return True

    def _note_ended(self) -> None:
        self.ended.set()
        self.over.set()
        self.ended_at = time.perf_counter()

    def _clear_limit(self) -> None:
        for timer in filter(None, (self._limit, self._look)):
            timer.cancel()
        self._limit = self._look = None

    def _known_pid(self) -> int | None:
        known = self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None
        return self.ready.result().pid if known else None
