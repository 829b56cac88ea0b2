"""Attacks that hold what there is little of: connections, slots, memory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from benchmarks.service import HOST
from benchmarks.siege.targets import Counts, Target

LARGE_PAGE = "/docs/files/swagger-ui-bundle.js"
MULTIPART = "Content-Type: multipart/form-data; boundary=edge"
IMAGE_PART = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
LARGE_BYTES = 19_000_000

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Hold = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hold(target: Target, counts: Counts, connections: int, use: Hold, *, pause_s: float = 0.1) -> None:
    """So many connections at a time, each used by `use` until it ends, and then opened again."""

    async def one() -> None:
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(HOST, target.port)
                counts["connections"] += 1
                try:
                    await use(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(pause_s)

    await asyncio.gather(*(one() for _ in range(connections)))


def head(path: str, length: int, *lines: str) -> bytes:
    """The head of a POST request with a body of so many bytes."""
    fields = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {length}", *lines, "\r\n"]
    return "\r\n".join(fields).encode()


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, count: int = 1) -> None:
    """Sends a part a second until the other end closes."""
    closed = asyncio.ensure_future(reader.read(1))
    while not closed.done():
        writer.write(data * count)
        await writer.drain()
        await asyncio.wait([closed], timeout=1.0)


async def slow_uploads(target: Target, counts: Counts) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head("/verify", 100_000, MULTIPART))
        await _trickle(reader, writer, b"-")

    await hold(target, counts, 128, use)


async def slow_heads(target: Target, counts: Counts) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /verify HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        await _trickle(reader, writer, b"a")

    await hold(target, counts, 256, use)


async def idle_connections(target: Target, counts: Counts) -> None:
    async def use(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    await hold(target, counts, 700, use, pause_s=1.0)


async def waiting_bodies(target: Target, counts: Counts) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head("/verify", 100_000, MULTIPART, "Expect: 100-continue"))
        await asyncio.wait_for(_read_all(reader), 60)

    await hold(target, counts, 128, use)


async def large_uploads(target: Target, counts: Counts) -> None:
    part = IMAGE_PART + bytes(LARGE_BYTES)

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head("/embed", 2 * LARGE_BYTES, MULTIPART))
        for start in range(0, len(part), 65536):
            writer.write(part[start : start + 65536])
            await writer.drain()
            await asyncio.sleep(0.03)  # 2 MB a second, of all together a gigabit
        counts["uploads"] += 1
        await _trickle(reader, writer, bytes(1024), 20)

    await hold(target, counts, 64, use)


async def unread_answers(target: Target, counts: Counts) -> None:
    async def use(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a transport to read, too
        request = f"GET {LARGE_PAGE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        while not writer.is_closing():
            writer.write(request)
            await asyncio.sleep(0.5)

    await hold(target, counts, 32, use)


async def endless_bodies(target: Target, counts: Counts) -> None:
    """The answer to a wrong content type comes before the body, which goes on."""

    async def use(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head("/verify", 10**9, "Content-Type: text/plain"))
        while not writer.is_closing():
            writer.write(bytes(65536))
            await writer.drain()
            await asyncio.sleep(0.02)  # 3 MB a second

    await hold(target, counts, 32, use)


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
