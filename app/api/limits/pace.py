"""How long an answer without work is held, so that clients who send again at once take nothing from the work."""

import asyncio
import time
from collections.abc import Callable

from app.token_bucket import TokenBucket

# The answers without work that are free in a second. Each answer with work frees one more.
FREE_PER_S = 100.0
# The longest hold.
HOLD_S = 0.25
# Answers that are held are sent at these intervals: together they cost less than one by one, since caches are warm.
TICK_S = 0.05


class Pace:
    """Answers without work: refusals, errors in a request or an image, and the routes that need no image.

    Once there are more of them than are free, they are held, longer and longer up to HOLD_S.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._free = TokenBucket(FREE_PER_S, clock)

    def note_work(self) -> None:
        """Counts an answer with work."""
        self._free.give()

    def take(self) -> float:
        """Counts an answer without work. Returns for how many seconds it is held."""
        return self._free.borrow(HOLD_S)

    async def hold(self) -> None:
        """Counts an answer without work, and waits if there are too many."""
        if seconds := self.take():
            await asyncio.sleep(until_tick(self._clock(), seconds))


def until_tick(now: float, seconds: float) -> float:
    """Seconds until the last tick within `seconds`, 0 if none falls there."""
    return max(0.0, (now + seconds) // TICK_S * TICK_S - now)
