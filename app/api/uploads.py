"""Request bodies in memory, under limits that hold while the bytes stream in. Nothing touches a disk."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.admission import Turn
from app.api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 1024
# More than a request has parts. What follows one tells whether it is one, which costs the event loop a microsecond.
MAX_DELIMITERS = 2000
# Boundaries and part headers, beside the parts' own bytes.
OVERHEAD_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class PartRule:
    """A part that a route takes: how many bytes it may have, how often it may come, and whether it is an image. Of a
    `repeatable` part each has its number in errors, even where a setting allows one alone.
    """

    max_bytes: int = MAX_FIELD_BYTES
    required: bool = False
    max_count: int = 1
    repeatable: bool = False
    image: bool = False


@dataclass
class _Part:
    name: str
    label: str  # what an error calls it
    rule: PartRule
    data: bytearray = field(default_factory=bytearray)


Parts = dict[str, list[bytes]]


async def read_parts(request: Request, rules: Mapping[str, PartRule], turn: Turn) -> Parts:
    """The parts of a multipart/form-data body by name. Raises Problem.

    The turn counts the required images before the body is read, further ones as they begin to arrive, and all of them
    as work at the end. Before it raises, the turn's places are given back, and the rest of a body of legal size is read
    and dropped, so that the client finds an answer and not a closed connection.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    limit = sum(rule.max_bytes * rule.max_count for rule in rules.values()) + OVERHEAD_BYTES
    async with _body(request, limit, turn) as stream:
        turn.arrive(sum(rule.required and rule.image for rule in rules.values()))
        if kind != b"multipart/form-data":
            raise Problem("unsupported_content_type", "send multipart/form-data, as curl -F does")
        if not options.get(b"boundary"):
            raise Problem("malformed_multipart", "the Content-Type header names no boundary")
        collector = _Collector(rules, turn)
        async with _in_time(turn):
            await _feed(stream, collector, options[b"boundary"], limit)
        parts = collector.finish()
        turn.work()
    return parts


@asynccontextmanager
async def _body(request: Request, limit_bytes: int, turn: Turn) -> AsyncIterator["_Stream"]:
    """The stream of a request's body. Where a Problem is raised before its end, the turn's places are given back and
    the rest is dropped, or is not asked for: a client that sent `Expect: 100-continue` waits to be told to go on.
    """
    stream = _Stream(request)
    try:
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Problem("unsupported_content_type", "send the body as it is, without Content-Encoding")
        if stream.is_awaited and int(request.headers.get("content-length", 0)) > limit_bytes:
            raise Problem("too_many_bytes", f"the whole body may have {limit_bytes:,} bytes")
        yield stream
    except Problem:
        turn.leave()
        if not stream.is_awaited:
            await _discard(stream, limit_bytes, turn)
        raise


class _Stream:
    """A request's body, a chunk at a time."""

    def __init__(self, request: Request) -> None:
        self._chunks = request.stream()
        # Whether the client waits with its body until the first chunk is asked for.
        self.is_awaited = request.headers.get("expect", "").lower() == "100-continue"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.is_awaited = False
        return await anext(self._chunks)


@asynccontextmanager
async def _in_time(turn: Turn) -> AsyncIterator[None]:
    """Raises Problem if the client has not sent its body by the deadline."""
    try:
        async with asyncio.timeout(turn.remaining_s()):
            yield
    except TimeoutError as error:
        raise Problem("deadline_passed", "the body did not arrive in time") from error


async def read_body(request: Request, limit_bytes: int, content_type: str, turn: Turn) -> bytes:
    """A whole body of one content type, which counts as one image. Raises Problem."""
    async with _body(request, limit_bytes, turn) as stream:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
            raise Problem("unsupported_content_type", f"send {content_type}")
        turn.arrive(1)
        async with _in_time(turn):
            body = await _collect(stream, limit_bytes)
        turn.work()
    return body


async def _collect(stream: _Stream, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in stream:
        if len(body) + len(chunk) > limit_bytes:
            raise Problem("too_many_bytes", f"the body may have {limit_bytes:,} bytes")
        body += chunk
    return bytes(body)


async def _feed(stream: _Stream, collector: "_Collector", boundary: bytes, limit_bytes: int) -> None:
    taken = delimiters = 0
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        async for chunk in stream:
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


async def _discard(stream: _Stream, limit_bytes: int, turn: Turn) -> None:
    """Drops the rest of a body, as far as it is of legal size and comes in time."""
    dropped = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(turn.remaining_s()):
            async for chunk in stream:
                dropped += len(chunk)
                if dropped > limit_bytes:
                    return


class _Collector:
    """Takes the parser's events and holds every part to its rule as soon as it can be judged."""

    def __init__(self, rules: Mapping[str, PartRule], turn: Turn) -> None:
        self._rules = rules
        self._turn = turn
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

    def finish(self) -> Parts:
        """All parts, once the body has ended. Raises Problem if a required one is absent."""
        parts: Parts = {}
        for part in self._parts:
            parts.setdefault(part.name, []).append(bytes(part.data))
            part.data = bytearray()  # so that no more than one part is in memory twice
        for name, rule in self._rules.items():
            if rule.required and name not in parts:
                raise Problem("missing_part", f"the part {name} is missing", name)
        return parts

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
        """Judges a part by its name, before its bytes come; the file name that may stand beside it is not read."""
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
        self._turn.arrive(sum(part.rule.image for part in self._parts))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if len(part.data) + end - start > part.rule.max_bytes:
            raise Problem("too_many_bytes", f"the part {part.name} may have {part.rule.max_bytes:,} bytes", part.label)
        part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
