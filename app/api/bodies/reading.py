"""Request bodies in memory, under limits that hold while the bytes stream in. Nothing touches a disk."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from python_multipart.multipart import parse_options_header

from app.api.bodies.form import Form, FormLimits, FormParser, PartRule, Parts
from app.api.bodies.json_form import JsonForm
from app.api.bodies.multipart import MultipartForm
from app.api.bodies.upload_clock import Chunks, in_pace
from app.api.problems import Problem
from app.api.upload_route import UploadRequest, awaits_continue

JSON = "application/json"
# Boundaries and part headers, or the names of JSON; they count towards the body but not towards a part.
OVERHEAD_BYTES = 64 * 1024
# Base64 has 4 bytes for 3, and some clients write a few of its characters with six bytes.
JSON_BYTES_PER_BYTE = 2


async def read_form(request: UploadRequest, rules: Mapping[str, PartRule], limits: FormLimits) -> Form:
    """The parts of a body of multipart/form-data or JSON. Raises Problem.

    Its bytes are counted as they arrive, and at the end each image takes a slot in the queue. After a Problem the
    server drops the rest of the body, so that the client finds an answer and not a closed connection.
    """
    reservation = request.reservation
    kind, options = parse_options_header(request.headers.get("content-type"))
    required = sum(rule.required and rule.image for rule in rules.values())
    max_images = max(limits.max_images, required)
    images_bytes = max_images * max(rule.max_bytes for rule in rules.values() if rule.image)
    fields_bytes = sum(rule.max_bytes for rule in rules.values() if not rule.image)
    per_byte = JSON_BYTES_PER_BYTE if kind == JSON.encode() else 1
    limit = min(limits.max_bytes, per_byte * (images_bytes + fields_bytes) + OVERHEAD_BYTES)
    async with _body(request, limit) as chunks:
        reservation.begin_upload(required)
        parser = _parser_of(kind, options, Parts(rules, max_images, reservation))
        async for chunk in chunks:
            parser.feed(chunk)
        form = await parser.finish()
        reservation.begin_work()
    return form


def _parser_of(kind: bytes, options: Mapping[bytes, bytes], parts: Parts) -> FormParser:
    """The parser for a content type. Raises Problem."""
    if kind == b"multipart/form-data":
        return MultipartForm(parts, options.get(b"boundary", b""))
    if kind == JSON.encode():
        return JsonForm(parts)
    takes = f"send multipart/form-data, as curl -F does, or {JSON} with the images in base64"
    raise Problem("unsupported_content_type", takes)


async def read_json(request: UploadRequest, limit_bytes: int) -> bytes:
    """A whole body of JSON, which takes the slot of one image. Raises Problem."""
    async with _body(request, limit_bytes) as chunks:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise Problem("unsupported_content_type", f"send {JSON}")
        request.reservation.begin_upload(1)
        body = bytearray()
        async for chunk in chunks:
            body += chunk
        request.reservation.begin_work()
    return bytes(body)


@asynccontextmanager
async def _body(request: UploadRequest, limit_bytes: int) -> AsyncIterator[Chunks]:
    """The chunks of a body. Raises Problem if the head says that it cannot be taken."""
    too_many = Problem("too_many_bytes", f"the whole body may have {limit_bytes:,} bytes")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported_content_type", "send the body as it is, without Content-Encoding")
    if awaits_continue(request.scope) and int(request.headers.get("content-length", 0)) > limit_bytes:
        raise too_many
    async with aclosing(_read_chunks(request, limit_bytes, too_many)) as chunks:
        yield chunks


async def _read_chunks(request: UploadRequest, limit_bytes: int, too_many: Problem) -> Chunks:
    """The chunks of a body. Raises Problem when they come too slowly, find no room, or exceed the limit."""
    request.ask_for_body()
    taken = 0
    async for chunk in in_pace(request.stream(), request.pace):
        request.reservation.receive(len(chunk))
        taken += len(chunk)
        if taken > limit_bytes:
            raise too_many
        yield chunk
    request.body_read.set()
