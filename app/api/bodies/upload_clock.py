"""How long an upload may take. It is a clock of its own: the request's deadline begins when the body is there."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.api.problems import Problem

KIBIBYTE = 1024

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True, kw_only=True)
class UploadPace:
    """A body must be whole within `limit_s`. From `grace_s` on it must have averaged at least `min_bytes_per_s`."""

    limit_s: float
    grace_s: float = 10.0
    min_bytes_per_s: int = 16 * KIBIBYTE

    def due_s(self, taken: int) -> float:
        """Seconds after the upload's beginning from which on it is too late with `taken` bytes."""
        return min(self.limit_s, max(self.grace_s, taken / self.min_bytes_per_s))


async def in_pace(chunks: Chunks, pace: UploadPace) -> Chunks:
    """The chunks as they come. Raises Problem when they come too slowly."""
    loop = asyncio.get_running_loop()
    started, taken = loop.time(), 0
    while True:
        due_s = pace.due_s(taken)
        try:
            async with asyncio.timeout_at(started + due_s):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise Problem("deadline_passed", _why(pace, due_s)) from error
        if chunk is None:
            return
        taken += len(chunk)
        yield chunk


def _why(pace: UploadPace, due_s: float) -> str:
    if due_s >= pace.limit_s:
        return f"the body did not arrive within {pace.limit_s:g} s; send smaller images"
    rate = f"{pace.min_bytes_per_s / KIBIBYTE:g} KiB a second"
    return f"the body arrived at less than {rate} on average; send smaller images, or use a faster connection"
