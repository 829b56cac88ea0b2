"""A client that sends requests at a fixed rate, whether or not earlier ones were answered.

A latency counts from the time at which the request was due, so that it includes delays in sending. It takes about a
tenth of a millisecond of a core for a request, since it often shares the cores with the service.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks.client import ANSWER_S
from benchmarks.service import HOST

# Stands for the status if the connection was refused, reset or closed, or if the response took too long.
NO_ANSWER = 0
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\nconnection: *close", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\nretry-after: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response: when its request was due, from the start of the load, its latency, status and Retry-After."""

    at_s: float
    latency_s: float
    status: int
    retry_after_s: int | None


@dataclass(frozen=True, kw_only=True)
class _Head:
    status: int
    length: int
    closes: bool
    retry_after_s: int | None

    @classmethod
    def of(cls, head: bytes) -> "_Head":
        length, retry = LENGTH.search(head), RETRY_AFTER.search(head)
        assert length is not None
        return cls(
            status=int(head[9:12]),
            length=int(length[1]),
            closes=CLOSES.search(head) is not None,
            retry_after_s=int(retry[1]) if retry else None,
        )


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self.open = True
        self._received = b""
        self._answer: asyncio.Future[_Head] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or EOFError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(HEAD_END)
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = _Head.of(self._received[:end])
        if len(self._received) >= end + len(HEAD_END) + head.length:
            self._received = b""
            self._answer.set_result(head)

    async def ask(self, request: bytes) -> _Head:
        """Sends a request and waits for its response. Raises OSError or EOFError if the connection breaks."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


class OpenLoop:
    """The client. It reuses idle connections, and opens another one when none is idle."""

    def __init__(self, port: int, source: str | None = None) -> None:
        """`source` is the address to send from, if not the system's choice."""
        self._port = port
        self._source = (source, 0) if source else None
        self._idle: list[_Connection] = []

    async def send(self, requests: Sequence[bytes], per_s: float, seconds: float) -> list[Answer]:
        """Repeats `requests` at regular intervals for `seconds`; returns all responses, in the order of sending."""
        started = time.perf_counter()
        answers = []
        for number in range(max(1, round(per_s * seconds))):
            due = started + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answers.append(asyncio.create_task(self.ask(requests[number % len(requests)], started, due)))
        return list(await asyncio.gather(*answers))

    async def ask(self, request: bytes, started: float, due: float) -> Answer:
        """One request that is due at a moment of `time.perf_counter`, in a load that started at another."""
        try:
            async with asyncio.timeout(ANSWER_S):
                head = await self._exchange(request)
            status, retry_after_s = head.status, head.retry_after_s
        except (OSError, EOFError, TimeoutError):
            status, retry_after_s = NO_ANSWER, None
        latency_s = time.perf_counter() - due
        return Answer(at_s=due - started, latency_s=latency_s, status=status, retry_after_s=retry_after_s)

    def close(self) -> None:
        """Closes the idle connections; after `send` all are idle."""
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()

    async def _exchange(self, request: bytes) -> _Head:
        """Uses an idle connection or a new one, and keeps it unless the response closes it."""
        while self._idle and not self._idle[-1].open:
            self._idle.pop()
        connection = self._idle.pop() if self._idle else await self._open()
        kept = False
        try:
            head = await connection.ask(request)
            kept = not head.closes
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.transport.close()
        return head

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, HOST, self._port, local_addr=self._source)
        return connection
