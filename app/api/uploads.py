"""Request bodies in memory, under limits that hold while the bytes stream in. Nothing touches a disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.admission import Reservation
from app.api.problems import Problem
from app.api.upload_route import UploadRequest, awaits_continue

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 1024
# More than a request has parts. Each one costs the event loop a microsecond before the parser can judge it.
MAX_DELIMITERS = 2000
# Boundaries and part headers, which count towards the body but not towards a part.
OVERHEAD_BYTES = 64 * 1024

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True, kw_only=True)
class PartRule:
    """A part that a route takes: how many bytes it may have, how often it may come, and whether it is an image. Each
    `repeatable` part has a number in errors, even where a setting allows only one.
    """

    max_bytes: int = MAX_FIELD_BYTES
    required: bool = False
    max_count: int = 1
    repeatable: bool = False
    image: bool = False


@dataclass(frozen=True)
class Form:
    """The parts of a body in the order of their rules: images under the names that errors give them, and fields."""

    images: dict[str, bytes] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)


async def read_form(request: UploadRequest, rules: Mapping[str, PartRule]) -> Form:
    """The parts of a multipart/form-data body. Raises Problem.

    Slots are taken for the required images before the body is read and for further ones as they begin to arrive; at
    the end all are exchanged for work slots. Before a Problem is raised the slots are released, and the rest of a body
    of legal size is read and dropped, so that the client finds an answer and not a closed connection.
    """
    reservation = request.reservation
    kind, options = parse_options_header(request.headers.get("content-type"))
    limit = sum(rule.max_bytes * rule.max_count for rule in rules.values()) + OVERHEAD_BYTES
    async with _body(request, limit) as chunks:
        reservation.begin_upload(sum(rule.required and rule.image for rule in rules.values()))
        if kind != b"multipart/form-data":
            raise Problem("unsupported_content_type", "send multipart/form-data, as curl -F does")
        if not options.get(b"boundary"):
            raise Problem("malformed_multipart", "the Content-Type header names no boundary")
        collector = _Collector(rules, reservation)
        async with _in_time(reservation):
            await _feed(chunks, collector, options[b"boundary"], limit)
        form = collector.finish()
        reservation.begin_work()
    return form


async def read_body(request: UploadRequest, limit_bytes: int, content_type: str) -> bytes:
    """A whole body of one content type, which takes the slot of one image. Raises Problem."""
    async with _body(request, limit_bytes) as chunks:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
            raise Problem("unsupported_content_type", f"send {content_type}")
        request.reservation.begin_upload(1)
        async with _in_time(request.reservation):
            body = await _collect(chunks, limit_bytes)
        request.reservation.begin_work()
    return body


@asynccontextmanager
async def _body(request: UploadRequest, limit_bytes: int) -> AsyncIterator[Chunks]:
    """The chunks of a body. After a Problem the slots are released and the rest of the body is dropped, unless the
    client still waits to be asked for it.
    """
    chunks = _read_chunks(request)
    try:
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Problem("unsupported_content_type", "send the body as it is, without Content-Encoding")
        if awaits_continue(request) and int(request.headers.get("content-length", 0)) > limit_bytes:
            raise Problem("too_many_bytes", f"the whole body may have {limit_bytes:,} bytes")
        yield chunks
    except Problem:
        request.reservation.release()
        if not awaits_continue(request):
            await _discard(chunks, limit_bytes, request.reservation)
        raise


async def _read_chunks(request: UploadRequest) -> Chunks:
    request.ask_for_body()
    async for chunk in request.stream():
        yield chunk
    request.body_read.set()


@asynccontextmanager
async def _in_time(reservation: Reservation) -> AsyncIterator[None]:
    """Raises Problem if the client has not sent its body by the deadline."""
    try:
        async with asyncio.timeout(reservation.remaining_s()):
            yield
    except TimeoutError as error:
        raise Problem("deadline_passed", "the body did not arrive in time") from error


async def _collect(chunks: Chunks, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > limit_bytes:
            raise Problem("too_many_bytes", f"the body may have {limit_bytes:,} bytes")
        body += chunk
    return bytes(body)


async def _feed(chunks: Chunks, collector: "_Collector", boundary: bytes, limit_bytes: int) -> None:
    taken = delimiters = 0
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        async for chunk in chunks:
            taken += len(chunk)
            delimiters += chunk.count(b"\r\n--" + boundary)
            if taken > limit_bytes:
                raise Problem("too_many_bytes", f"the whole body may have {limit_bytes:,} bytes")
            if delimiters > MAX_DELIMITERS:
                raise Problem("malformed_multipart", "the boundary stands in the parts; choose another")
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Problem("malformed_multipart", "the parts and their boundaries cannot be told apart") from error
    if not collector.ended:
        raise Problem("malformed_multipart", "the body ends before its closing boundary")


async def _discard(chunks: Chunks, limit_bytes: int, reservation: Reservation) -> None:
    """Drops the rest of a body, as far as it is of legal size and comes in time."""
    dropped = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(reservation.remaining_s()):
            async for chunk in chunks:
                dropped += len(chunk)
                if dropped > limit_bytes:
                    return


@dataclass
class _Part:
    name: str
    label: str  # what an error calls it
    rule: PartRule
    data: bytearray = field(default_factory=bytearray)


class _Collector:
    """Takes the parser's events and holds every part to its rule as soon as it can be judged."""

    def __init__(self, rules: Mapping[str, PartRule], reservation: Reservation) -> None:
        self._rules = rules
        self._reservation = reservation
        self._parts: list[_Part] = []
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
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

    def finish(self) -> Form:
        """All parts, once the body has ended. Raises Problem if a required one is absent."""
        form, order = Form(), list(self._rules)
        for part in sorted(self._parts, key=lambda part: order.index(part.name)):
            taken = form.images if part.rule.image else form.fields
            taken[part.label] = bytes(part.data)
            part.data = bytearray()  # so that only one part at a time is in memory twice
        names = {part.name for part in self._parts}
        for name, rule in self._rules.items():
            if rule.required and name not in names:
                raise Problem("missing_part", f"the part {name} is missing", name)
        return form

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
        rule = self._rules.get(name)
        if rule is None:
            raise Problem("unexpected_part", f"this route takes the parts {', '.join(self._rules)}")
        before = sum(part.name == name for part in self._parts)
        if before >= rule.max_count:
            if not rule.repeatable:
                raise Problem("duplicate_part", f"the part {name} may be given once", name)
            raise Problem("too_many_images", f"the part {name} may be given {rule.max_count} times", name)
        self._parts.append(_Part(name, f"{name}[{before}]" if rule.repeatable else name, rule))
        self._reservation.begin_upload(sum(part.rule.image for part in self._parts))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if len(part.data) + end - start > part.rule.max_bytes:
            raise Problem("too_many_bytes", f"the part {part.name} may have {part.rule.max_bytes:,} bytes", part.label)
        part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
