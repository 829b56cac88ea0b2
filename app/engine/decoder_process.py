"""A decoder process as its service sees it: configured once, then given one request at a time until it ends."""

import asyncio
import pickle
from typing import cast

from app.engine.decoder import LENGTH, DecoderConfig, DecodeResult


class DecoderProcess(asyncio.Protocol):
    """One decoder at the other end of a socket."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.pid: asyncio.Future[int] = loop.create_future()
        """The process id, when the decoder is ready; DetectorError or EOFError if it never is."""
        self.ended = asyncio.Event()
        self._result: asyncio.Future[DecodeResult | None] | None = None
        self._received = bytearray()
        self._transport: asyncio.WriteTransport

    def configure(self, config: DecoderConfig) -> None:
        """Sends the configuration, which comes before all requests."""
        self._transport.write(pickle.dumps(config))

    def send(self, request: bytes) -> "asyncio.Future[DecodeResult | None]":
        """The result of a pickled request, or None if the process ends first."""
        result: asyncio.Future[DecodeResult | None] = asyncio.get_running_loop().create_future()
        if self.ended.is_set():
            result.set_result(None)
        else:
            self._transport.write(request)
            self._result = result
        return result

    def abandon(self) -> None:
        """Closes the socket at once, even in the middle of a message."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, before everything else."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's types do not say so

    def data_received(self, data: bytes) -> None:
        """Called with the next part of a message."""
        self._received += data
        if len(self._received) < LENGTH.size:
            return
        (length,) = LENGTH.unpack_from(self._received)
        if len(self._received) < LENGTH.size + length:
            return
        message = pickle.loads(memoryview(self._received)[LENGTH.size :])  # noqa: S301 (from our own process)
        self._received = bytearray()
        awaited, self._result = self._result or self.pid, None
        if awaited.done():  # the service stopped waiting when it ended
            return
        if isinstance(message, Exception):
            awaited.set_exception(message)
        else:
            awaited.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (a protocol's signature)
        """Called when the process has ended, or the socket was closed here."""
        self.ended.set()
        if not self.pid.done():
            self.pid.set_exception(EOFError())
        if self._result and not self._result.done():
            self._result.set_result(None)
