"""A lean HTTP client: it shares the cores with the service, so whatever it needs is missing there.

The requests are made beforehand; a connection stays open and has one request on its way at a time.
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
    """An answer as it came; the names and values of its headers are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@dataclass(kw_only=True)
class Load:
    """What came of one load: the seconds of every request, from the first sent to the last answered, and this client's
    own processor time.
    """

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
    """Sends `requests` over and over, at most `most` of them and for at most `seconds`; waits for every answer.

    Raises ServiceError at the first answer other than 200.
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
    """One request and its whole answer; the connection stays open. Raises OSError or EOFError if it breaks off."""
    writer.write(request)
    await writer.drain()
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers[b"content-length"]))
    return Response(status=int(status.split()[1]), headers=headers, body=body)
