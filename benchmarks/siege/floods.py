"""Attacks that send as much as they can: each connection sends again as soon as it is answered."""

import asyncio
import base64
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, cycle

from benchmarks.http import drawn_requests
from benchmarks.open_loop import HEAD_END, LENGTH
from benchmarks.service import HOST
from benchmarks.siege.holding import IMAGE_PART, MULTIPART, head
from benchmarks.siege.hostile_files import damaged_files, flat_png, large_progressive, promising_png
from benchmarks.siege.targets import Counts, Target

# As many as an outside test team had sent.
DAMAGED_FILES = 13_000
ANSWER_S = 90.0


async def flood(target: Target, counts: Counts, connections: int, requests: Iterator[bytes]) -> None:
    """Sends the requests over so many connections until there are no more, and counts the answers by status."""

    async def one() -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for request in requests:
            try:
                streams = streams or await asyncio.open_connection(HOST, target.port)
                async with asyncio.timeout(ANSWER_S):
                    status, closes = await _exchange(*streams, request)
                counts[status] += 1
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                counts["no answer"] += 1
                closes = True
            if closes and streams:
                streams[1].transport.abort()
                streams = None

    await asyncio.gather(*(one() for _ in range(connections)))


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[str, bool]:
    """The status, and whether the connection is at its end."""
    with suppress(OSError):  # it was answered and closed while it was sending
        writer.write(request)
        await writer.drain()
    text = await reader.readuntil(HEAD_END)
    length = LENGTH.search(text)
    await reader.readexactly(int(length[1]) if length and not request.startswith(b"HEAD") else 0)
    return text[9:12].decode(), b"connection: close" in text.lower()


def post(path: str, body: bytes, *lines: str) -> bytes:
    """A whole POST request."""
    return head(path, len(body), *lines) + body


def get(path: str, *lines: str) -> bytes:
    """A GET request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}", *lines, "\r\n"]).encode()


def detect(image: bytes) -> bytes:
    """A request to find the faces of an image."""
    return post("/detect", IMAGE_PART + image + b"\r\n--edge--\r\n", MULTIPART)


async def cheap_routes(target: Target, counts: Counts) -> None:
    paths = ("/info", "/openapi.json", "/metrics", "/health/ready", "/health/live", "/docs", "/", "/nowhere")
    await flood(target, counts, 32, cycle([get(path) for path in paths]))


async def pipelines(target: Target, counts: Counts) -> None:
    requests = get("/health/live") * 200
    await flood(target, counts, 8, cycle([requests + get("/info", "Connection: close")]))


async def malformed_requests(target: Target, counts: Counts) -> None:
    chunked = "Transfer-Encoding: gzip, chunked"
    await flood(
        target,
        counts,
        16,
        cycle(
            [
                b"GET /info HTTP/1.1\r\n\r\n",
                b"GET /info HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                get("/info", "Bad Name: a"),
                get("/info", f"X-Large: {'a' * 100_000}"),
                b"\x00\x01\x02\r\n\r\n",
                f"POST /verify HTTP/1.1\r\nHost: a\r\n{chunked}\r\n\r\n0\r\n\r\n".encode(),
                get("/%00%ff/../../etc"),
                b"BREW /verify HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
        ),
    )


async def wrong_bodies(target: Target, counts: Counts) -> None:
    parts = IMAGE_PART * 1500
    lists = b"[" * 50_000
    text = base64.b64encode(random.Random(0).randbytes(300_000)).decode()
    json_type = "Content-Type: application/json"
    await flood(
        target,
        counts,
        16,
        cycle(
            [
                post("/verify", b"", MULTIPART),
                post("/verify", b"--edge\r\n" * 500, MULTIPART),
                post("/embed", parts, MULTIPART),
                post("/verify", bytes(100_000), "Content-Type: text/plain"),
                post("/compare", b'{"embedding1": ' + lists, json_type),
                post("/compare", b'{"embedding1": [' + b"1e5," * 20_000, json_type),
                post("/verify", json.dumps({"image1": text, "image2": "!" * 1000}).encode(), json_type),
            ]
        ),
    )


async def promising_images(target: Target, counts: Counts) -> None:
    image = promising_png()
    parts = (IMAGE_PART + image + b"\r\n") * 8
    await flood(target, counts, 8, cycle([post("/detect", parts + b"--edge--\r\n", MULTIPART)]))


async def flat_images(target: Target, counts: Counts) -> None:
    await flood(target, counts, 8, cycle([detect(flat_png())]))


async def large_images(target: Target, counts: Counts) -> None:
    await flood(target, counts, 4, cycle([detect(large_progressive())]))


async def damaged_images(target: Target, counts: Counts) -> None:
    await flood(target, counts, 4, (detect(file) for file in damaged_files(DAMAGED_FILES)))


async def verifications(target: Target, counts: Counts) -> None:
    await flood(target, counts, 220, cycle(drawn_requests()))


async def unread_log(target: Target, counts: Counts) -> None:
    """Nobody reads the log meanwhile; `benchmarks.siege` sees to that."""
    await flood(target, counts, 8, (get(f"/nowhere/{number}") for number in count()))
