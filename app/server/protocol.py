"""uvicorn's HTTP protocol with limits on a request's head, on what follows an early answer, and on connections.

Without the limits a connection could fill the memory with headers, or stay open for ever.
"""

import asyncio
import sys
from typing import Any, cast

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.server.connections import Connections
from app.server.transport import SteadyTransport

MAX_HEAD_BYTES = 64 * 1024
HEAD_WITHIN_S = 10.0
HEADERS = (b"content-type: text/plain", b"cache-control: no-store", b"x-content-type-options: nosniff")
# What still arrives of a body after its answer is dropped for so long in all, without a byte, and up to so many bytes.
LINGER_S, LINGER_IDLE_S = 30.0, 5.0
LINGER_BYTES = 128 * 1024 * 1024
TOO_LARGE = b"The request line and headers are larger than 64 KiB."
TOO_LATE = b"The request line and headers did not arrive in time."


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection when a request's head or trailers exceed MAX_HEAD_BYTES.

    Bytes that arrive together with the end of the previous part are not counted. A head that is incomplete
    HEAD_WITHIN_S after its first byte is answered 408; a connection that begins no head for that long is closed.

    An offer to speak another protocol (`Upgrade`, RFC 9110 section 7.8), as Java's client makes by default, is ignored:
    the parser would stop at such a head and lose the body, so a new one reads the request without the offer.

    What is left of a body after its answer is read and dropped, so that the client reads the answer and finds no broken
    connection, but only for as long as LINGER_S and the other limits allow.

    uvicorn has no setting or hook for these limits in its httptools protocol, hence the overridden methods.
    """

    _unfinished_bytes = 0
    """Received so far of a head or trailers."""
    _head_begun = False
    _head_timer: asyncio.TimerHandle | None = None
    """Runs while the first head is awaited, or when a part of a head has arrived."""
    _received = _again = b""
    _body_arrives = False
    _linger_timer: asyncio.TimerHandle | None = None
    _linger_until = _last_byte_s = 0.0
    _lingered_bytes = 0

    def __init__(self, connections: Connections, *arguments: Any, **named: Any) -> None:
        """The further arguments are those of uvicorn's protocol."""
        super().__init__(*arguments, **named)
        self._all = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Called when the connection was made."""
        steady = SteadyTransport(transport, self.loop, self._must_linger)
        super().connection_made(cast("asyncio.Transport", steady))
        self._start_head_timer()
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        self._all.remove(self)
        self._stop_head_timer()
        self._stop_lingering()
        cast("SteadyTransport", self.transport).lost()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Called when another connection takes this one's place."""
        self.transport.abort()

    def on_message_begin(self) -> None:
        """Called at the first byte of a head."""
        super().on_message_begin()
        self._stop_head_timer()
        self._head_begun = True

    def data_received(self, data: bytes) -> None:
        """Called with a part of a request, or with stray bytes after it, which leave the connection idle."""
        self._last_byte_s = self.loop.time()
        self._lingered_bytes += len(data)
        if self.transport.is_closing():  # it lingers
            return
        self._unfinished_bytes += len(data)
        idle_until = self.timeout_keep_alive_task.when() if self.timeout_keep_alive_task else None
        while data and not self.transport.is_closing():
            self._received, self._again = data, b""
            super().data_received(data)
            data = self._again
        self._received = b""  # otherwise an idle connection would keep its last bytes
        if self.transport.is_closing():
            return
        if self._head_begun and self._head_timer is None:
            self._start_head_timer()
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431", TOO_LARGE)
        elif idle_until and self._is_idle() and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_at(idle_until, self.timeout_keep_alive_handler)

    def on_headers_complete(self) -> None:
        """Called at the end of a head."""
        if self._is_offer():
            return
        self._unfinished_bytes = 0
        self._head_begun = False
        self._stop_head_timer()
        self._body_arrives = True
        self._all.send(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called with a part of the body; the application limits it."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called at the end of a request."""
        if self._is_offer():
            return
        self._unfinished_bytes = 0
        self._body_arrives = False
        self._stop_lingering()
        if self._is_answered():
            self._all.wait(self)
        else:
            self._all.work(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called when a response was written."""
        super().on_response_complete()
        if not self._is_answered():  # an earlier one of several requests
            return
        if self._must_linger():
            self._start_lingering()
        else:
            self._all.wait(self)

    def shutdown(self) -> None:
        """Called when the service ends in order."""
        if self._linger_timer:
            self.transport.abort()
        else:
            super().shutdown()

    def _is_answered(self) -> bool:
        """Whether the last request was answered."""
        return self.cycle is not None and self.cycle.response_complete

    def _must_linger(self) -> bool:
        """Whether the body of a request that was answered is still arriving."""
        return self._body_arrives and self._is_answered()

    def _start_lingering(self) -> None:
        self.flow.resume_reading()
        self._linger_until = self.loop.time() + LINGER_S
        self._last_byte_s, self._lingered_bytes = self.loop.time(), 0
        self._linger_timer = self.loop.call_later(LINGER_IDLE_S, self._check_lingering)

    def _stop_lingering(self) -> None:
        if self._linger_timer:
            self._linger_timer.cancel()
            self._linger_timer = None

    def _check_lingering(self) -> None:
        now = self.loop.time()
        idle = now - self._last_byte_s >= LINGER_IDLE_S
        if idle or now >= self._linger_until or self._lingered_bytes > LINGER_BYTES:
            self.transport.abort()
        else:
            self._linger_timer = self.loop.call_later(LINGER_IDLE_S, self._check_lingering)

    def _is_offer(self) -> bool:
        """Whether the head offers to speak another protocol."""
        return bool(self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers))

    def _unsupported_upgrade_warning(self) -> None:
        """Called by uvicorn when its parser has stopped at such a head.

        Prepares the request without the offer, and what came after it, for a new parser.
        """
        stopped = sys.exception()
        assert isinstance(stopped, HttpParserUpgrade)
        if not self._is_offer():  # CONNECT
            super()._unsupported_upgrade_warning()
            return
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._again = b"\r\n".join([*lines, b"", self._received[stopped.args[0] :]])
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _is_idle(self) -> bool:
        """Whether the last request was answered and no other head has begun."""
        return self._is_answered() and self._head_timer is None

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._end_late_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_late_head(self) -> None:
        """Waits longer while a previous request is still being answered."""
        self._head_timer = None
        if self.cycle and not self.cycle.response_complete:
            self._start_head_timer()
        elif self._unfinished_bytes:
            self._refuse(b"408", TOO_LATE)
        else:
            self.transport.close()

    def _refuse(self, status: bytes, why: bytes) -> None:
        self.logger.warning(why.decode())
        self._answer(status, why)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn, which has logged why, when a head cannot be parsed."""
        self._answer(b"400", msg.encode())

    def _answer(self, status: bytes, why: bytes) -> None:
        lines = [b"HTTP/1.1 %b " % status, *HEADERS, b"content-length: %d" % len(why)]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", why]))
        self.transport.close()
