"""A minimal HTTP client, which takes as little as possible of the cores that it shares with the service.

Requests are encoded beforehand. A connection stays open and carries one request at a time.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from benchmarks.service import HOST, ServiceError

BOUNDARY = "facepair-benchmark"
ANSWER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response. The names and values of its headers are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(kw_only=True)
class Load:
    """A load's latencies, the time from its first request to its last response, and the client's CPU time."""

    latencies_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0


def verify_request(left: bytes, right: bytes) -> bytes:
    """All bytes of a POST to /verify with two JPEGs."""
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n'
        f"Content-Type: image/jpeg\r\n\r\n".encode()
        + image
        + b"\r\n"
        for name, image in (("image1", left), ("image2", right))
    )
    body += f"--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST /verify HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, requests: Sequence[bytes], connections: int, most: int, seconds: float) -> Load:
    """Repeats `requests`, at most `most` in all and for at most `seconds`, and waits for all responses.

    Raises ServiceError at the first response other than 200.
    """
    result = Load()
    turns = zip(range(most), cycle(requests), strict=False)
    started, cpu_started = time.perf_counter(), time.process_time()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            while time.perf_counter() - started < seconds and (turn := next(turns, None)):
                sent = time.perf_counter()
                async with asyncio.timeout(ANSWER_S):
                    answer = await exchange(reader, writer, turn[1])
                if answer.status != 200:
                    raise ServiceError(f"the service answered {answer.body.decode(errors='replace')}")
                result.latencies_s.append(time.perf_counter() - sent)
        finally:
            writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    result.elapsed_s = time.perf_counter() - started
    result.client_cpu_s = time.process_time() - cpu_started
    return result


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Response:
    """Sends a request and reads its response; the connection stays open. Raises OSError or EOFError if it breaks."""
    writer.write(request)
    await writer.drain()
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers[b"content-length"]))
    return Response(status=int(status.split()[1]), headers=headers, body=body)
