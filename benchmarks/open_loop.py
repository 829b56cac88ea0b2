"""A client whose requests arrive at a rate of their own, whether or not the earlier ones were answered.

A latency is counted from the moment at which a request was to be sent, so that a slow service cannot hide behind the
requests that were held back meanwhile.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.client import ANSWER_S, Response, exchange
from benchmarks.service import HOST

# Instead of a status: the connection was refused, reset or closed, or nothing came in time.
NO_ANSWER = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """When the request was to be sent, counted from the first one, how long it took, and what came."""

    at_s: float
    latency_s: float
    status: int
    retry_after: bool


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class OpenLoop:
    """Connections are kept and used again; a request that finds none idle opens another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def send(self, requests: Sequence[bytes], per_s: float, seconds: float) -> list[Answer]:
        """Sends `requests` over and over, evenly; returns when the last is answered, in the order of sending."""
        started = time.perf_counter()
        answers = []
        for number in range(max(1, round(per_s * seconds))):
            due = started + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answers.append(asyncio.create_task(self._ask(requests[number % len(requests)], started, due)))
        return list(await asyncio.gather(*answers))

    def close(self) -> None:
        """Closes the connections that are idle, which after `send` are all."""
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
        """Over an idle connection or a new one, which is kept if the answer leaves it open."""
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
