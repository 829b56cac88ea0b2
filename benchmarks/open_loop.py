"""A client that sends requests at a fixed rate, whether or not earlier ones were answered.

A latency counts from the time at which the request was due, so that it includes delays in sending.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.client import ANSWER_S, Response, exchange
from benchmarks.service import HOST

# Stands for the status if the connection was refused, reset or closed, or if the response took too long.
NO_ANSWER = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response: when its request was due, from the start of the load, its latency, status and headers."""

    at_s: float
    latency_s: float
    status: int
    retry_after: bool


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class OpenLoop:
    """The client. It reuses idle connections, and opens another one when none is idle."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def send(self, requests: Sequence[bytes], per_s: float, seconds: float) -> list[Answer]:
        """Repeats `requests` at regular intervals for `seconds`; returns all responses, in the order of sending."""
        started = time.perf_counter()
        answers = []
        for number in range(max(1, round(per_s * seconds))):
            due = started + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answers.append(asyncio.create_task(self._ask(requests[number % len(requests)], started, due)))
        return list(await asyncio.gather(*answers))

    def close(self) -> None:
        """Closes the idle connections; after `send` all are idle."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    async def _ask(self, request: bytes, started: float, due: float) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._exchange(request)
            status, retry_after = answer.status, b"retry-after" in answer.headers
        except (OSError, EOFError, TimeoutError):
            status, retry_after = NO_ANSWER, False
        return Answer(at_s=due - started, latency_s=time.perf_counter() - due, status=status, retry_after=retry_after)

    async def _open(self) -> _Connection:
        return _Connection(*await asyncio.open_connection(HOST, self._port))

    async def _exchange(self, request: bytes) -> Response:
        """Uses an idle connection or a new one, and keeps it unless the response closes it."""
        connection = self._idle.pop() if self._idle else await self._open()
        kept = False
        try:
            answer = await exchange(connection.reader, connection.writer, request)
            kept = answer.headers.get(b"connection") != b"close"
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.writer.close()
        return answer
