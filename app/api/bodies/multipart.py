"""Bodies of multipart/form-data."""

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.bodies.form import Form, Part, Parts
from app.api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# More than a request has parts. Each one costs the event loop a microsecond before the parser can judge it.
MAX_DELIMITERS = 2000


class MultipartForm:
    """A `FormParser` of multipart/form-data. Raises Problem if there is no boundary."""

    def __init__(self, parts: Parts, boundary: bytes) -> None:
        if not boundary:
            raise Problem("malformed_multipart", "the Content-Type header names no boundary")
        self._parts = parts
        self._delimiter = b"\r\n--" + boundary
        self._delimiters = self._opened = 0
        self._part: Part | None = None
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _malformed() from error

    def feed(self, chunk: bytes) -> None:
        self._delimiters += chunk.count(self._delimiter)
        if self._delimiters > MAX_DELIMITERS:
            raise Problem("malformed_multipart", "the boundary stands in the parts; choose another")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed() from error

    async def finish(self) -> Form:
        try:
            self._parser.finalize()
        except FormParserError as error:
            raise _malformed() from error
        if not self._ended:
            raise Problem("malformed_multipart", "the body ends before its closing boundary")
        return self._parts.finish()

    def _callbacks(self) -> "MultipartCallbacks":
        """The events that python-multipart calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        """Judges a part by its name before its bytes come; its file name, if there is one, is not read."""
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        self._opened += 1
        self._part = self._parts.open(name, self._opened)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        self._part.add(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _malformed() -> Problem:
    return Problem("malformed_multipart", "the parts and their boundaries cannot be told apart")
