"""uvicorn's protocol with an end to what is no body: without one a connection could fill the memory with headers, or
never send them and stay open.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
HEAD_WITHIN_S = 10.0
TOO_LARGE = b"The request line and headers are larger than 64 KiB."
TOO_LATE = b"The request line and headers did not arrive in time."


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection when so much has come, of a request's head or trailers, without an end.

    What arrives together with the end of what came before it is not counted. A head that is not whole within
    HEAD_WITHIN_S of its first byte is answered 408; a connection that begins none is closed after as long.
    """

    _since_end = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A new connection."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN_S, self._close_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Its end."""
        self._in_time()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._in_time()
        self._late = self.loop.call_later(HEAD_WITHIN_S, self._close_late)

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        self._since_end += len(data)
        super().data_received(data)
        if self._since_end > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(b"431", TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._since_end = 0
        self._in_time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, whose limits are the application's."""
        self._since_end = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has ended."""
        self._since_end = 0
        super().on_message_complete()

    def _in_time(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _close_late(self) -> None:
        """Lets a request that came before the head, and is still being answered, have its answer first."""
        self._late = None
        if self.cycle and not self.cycle.response_complete:
            self._late = self.loop.call_later(HEAD_WITHIN_S, self._close_late)
        elif self._since_end:
            self._refuse(b"408", TOO_LATE)
        else:
            self.transport.close()

    def _refuse(self, status: bytes, why: bytes) -> None:
        self.logger.warning(why.decode())
        lines = [b"HTTP/1.1 %b " % status, b"content-type: text/plain", b"content-length: %d" % len(why)]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", why]))
        self.transport.close()
