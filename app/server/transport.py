"""A connection's transport: responses in one piece, an end for clients who do not read them, and a soft close."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("facepair")

# Clients must read what is sent to them at this mean rate, judged at these intervals. Uploads have the same least rate.
READ_BYTES_PER_S = 16 * 1024
READ_CHECK_S = 10.0


class SteadyTransport:
    """A transport that sends all that is written in one turn of the event loop in one piece.

    uvicorn writes the head and the body of a response one after the other. If the process were killed between the two,
    the balancer would have passed the head on and could not send the request to another replica.

    It aborts the connection of a client that does not read, which would hold its responses in memory for ever. And it
    keeps a connection half open at `close` while `lingers` is true: a client that is still sending would otherwise lose
    the response (RFC 9112 section 9.6).
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, lingers: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._lingers = lingers
        self._half_closed = False
        self._pieces: list[bytes] = []
        self._written = 0
        self._read_before = 0
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends the data when the present turn of the event loop has ended, or at `close`."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def is_closing(self) -> bool:
        """Whether `close` was called or the connection is lost."""
        return self._half_closed or self._transport.is_closing()

    def close(self) -> None:
        """Sends what was written, then closes the connection, or its own direction if it lingers."""
        self._flush()
        if not self.is_closing() and self._transport.can_write_eof() and self._lingers():
            self._half_closed = True
            self._transport.write_eof()
        elif not self._half_closed:
            self._transport.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()

    def lost(self) -> None:
        """Called when the connection has ended."""
        if self._timer:
            self._timer.cancel()

    def _flush(self) -> None:
        if self._pieces and not self.is_closing():
            data = b"".join(self._pieces)
            self._written += len(data)
            self._transport.write(data)
            if self._timer is None and self._transport.get_write_buffer_size():
                self._start_timer()
        self._pieces.clear()

    def _start_timer(self) -> None:
        self._read_before = self._read()
        self._timer = self._loop.call_later(READ_CHECK_S, self._check_reader)

    def _read(self) -> int:
        """How many bytes the client's side has taken so far."""
        return self._written - self._transport.get_write_buffer_size()

    def _check_reader(self) -> None:
        self._timer = None
        if not self._transport.get_write_buffer_size():
            return
        if self._read() - self._read_before < READ_BYTES_PER_S * READ_CHECK_S:
            logger.info("a client did not read its response in time; its connection is closed")
            self.abort()
        else:
            self._start_timer()
