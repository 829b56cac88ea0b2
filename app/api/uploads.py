"""Request bodies in memory, under limits that hold while the bytes stream in. Nothing touches a disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.admission import Reservation
from app.api.forms import Form, FormCollector, FormLimits, PartRule
from app.api.problems import Problem
from app.api.upload_route import UploadRequest, awaits_continue
from app.settings import Settings
from model.imaging.headers import LARGE_WORK_PX, count_pixels, count_work, has_too_few_bytes

# More than a request has parts. Each one costs the event loop a microsecond before the parser can judge it.
MAX_DELIMITERS = 2000
# Boundaries and part headers, which count towards the body but not towards a part.
OVERHEAD_BYTES = 64 * 1024

Chunks = AsyncGenerator[bytes, None]


async def read_form(request: UploadRequest, rules: Mapping[str, PartRule], limits: FormLimits) -> Form:
    """The parts of a multipart/form-data body. Raises Problem.

    Slots are taken for the required images before the body is read and for further ones as they begin to arrive; at
    the end all are exchanged for work slots. Before a Problem is raised the slots are released, and the rest of a body
    of legal size is read and dropped, so that the client finds an answer and not a closed connection.
    """
    reservation = request.reservation
    kind, options = parse_options_header(request.headers.get("content-type"))
    required = sum(rule.required and rule.image for rule in rules.values())
    max_images = max(limits.max_images, required)
    images_bytes = max_images * max(rule.max_bytes for rule in rules.values() if rule.image)
    fields_bytes = sum(rule.max_bytes for rule in rules.values() if not rule.image)
    limit = min(limits.max_bytes, images_bytes + fields_bytes + OVERHEAD_BYTES)
    async with _body(request, limit) as chunks:
        reservation.begin_upload(required)
        if kind != b"multipart/form-data":
            raise Problem("unsupported_content_type", "send multipart/form-data, as curl -F does")
        if not options.get(b"boundary"):
            raise Problem("malformed_multipart", "the Content-Type header names no boundary")
        collector = FormCollector(rules, max_images, reservation)
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


def take_on_pixels(images: Mapping[str, bytes], settings: Settings, reservation: Reservation) -> None:
    """Judges images by their headers, before any of them is decoded, and takes the work of large ones from the budget.

    An image that has too many pixels by itself does not count, so that decoding refuses it by its name. Raises Problem.
    """
    counts = {field: count_pixels(image) for field, image in images.items()}
    for field, count in counts.items():
        if has_too_few_bytes(images[field], count):
            few = f"the image has {count:,} pixels in {len(images[field]):,} bytes, which no photograph has"
            raise Problem("too_many_pixels", f"{few}; send a smaller one, or a JPEG", field)
    pixels = sum(count for count in counts.values() if count <= settings.max_pixels)
    if pixels > settings.max_request_pixels:
        most = f"the images of a request may have {settings.max_request_pixels:,} pixels together"
        raise Problem("too_many_pixels", f"{most}; these have {pixels:,}")
    works = (count_work(image) for field, image in images.items() if counts[field] <= settings.max_pixels)
    reservation.begin_large(sum(work for work in works if work >= LARGE_WORK_PX))


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


async def _feed(chunks: Chunks, collector: FormCollector, boundary: bytes, limit_bytes: int) -> None:
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
