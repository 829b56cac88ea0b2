"""A client who sends a verification now and then, and sends it again when it is asked to."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.open_loop import OpenLoop

TRIES = 3
# An address of its own, so that a limit for each source tells it from the attackers.
SOURCE = "127.0.0.2"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the client saw in one phase: requests, those that were answered in the end, and their median latency, from
    when a request was due to its answer, with all tries.
    """

    requests: int
    answered: int
    sent_again: int
    median_ms: float | None

    @property
    def success(self) -> float:
        """The share of requests that were answered in the end."""
        return self.answered / self.requests


class GoodClient:
    """It reuses its connections. After a 429 or 503 it waits for Retry-After and sends again, at most TRIES times."""

    def __init__(self, port: int, requests: Sequence[bytes], per_s: float) -> None:
        self._client = OpenLoop(port, SOURCE)
        self._requests = requests
        self._per_s = per_s
        self._sent = 0

    async def send(self, seconds: float, until: asyncio.Event | None = None) -> Seen:
        """Sends for so long, and on until the event is set, and waits for all answers."""
        started = time.perf_counter()
        asked: list[asyncio.Task[tuple[bool, float, int]]] = []
        while (due := started + len(asked) / self._per_s) < started + seconds or (until and not until.is_set()):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._sent += 1
            request = self._requests[self._sent % len(self._requests)]
            asked.append(asyncio.create_task(self._ask(request, due)))
        found = await asyncio.gather(*asked)
        latencies = [latency_s for answered, latency_s, _ in found if answered]
        return Seen(
            requests=len(found),
            answered=len(latencies),
            sent_again=sum(tries > 1 for _, _, tries in found),
            median_ms=1000 * median(latencies) if latencies else None,
        )

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    async def _ask(self, request: bytes, due: float) -> tuple[bool, float, int]:
        """Whether it was answered with 200, after how many seconds, and in how many tries."""
        tries = 0
        while True:
            tries += 1
            answer = await self._client.ask(request, due, time.perf_counter())
            if tries == TRIES or answer.status not in (429, 503):
                return answer.status == 200, time.perf_counter() - due, tries
            await asyncio.sleep(answer.retry_after_s or 1)
