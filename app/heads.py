"""uvicorn's protocol with an end to what is no body: without one a connection could fill the memory with headers."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
TOO_LARGE = b"The request line and headers are larger than 64 KiB."


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 and closes the connection when so much has come, of a request's head or trailers, without an end.

    What arrives together with the end of what came before it is not counted.
    """

    _since_end = 0

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        self._since_end += len(data)
        super().data_received(data)
        if self._since_end > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.logger.warning(TOO_LARGE.decode())
            lines = [b"HTTP/1.1 431 ", b"content-type: text/plain", b"content-length: %d" % len(TOO_LARGE)]
            self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", TOO_LARGE]))
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._since_end = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, whose limits are the application's."""
        self._since_end = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has ended."""
        self._since_end = 0
        super().on_message_complete()
