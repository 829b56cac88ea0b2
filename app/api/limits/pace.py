"""How long an answer without work is held, so that clients who send again at once take nothing from the work."""

import asyncio
import time
from collections.abc import Callable

# So many answers without work a second are free, and one more for each answer with work.
FREE_PER_S = 100.0
# At most so long.
HOLD_S = 0.25


class Pace:
    """A bucket of answers without work: refusals, errors in a request, and the routes that need no image.

    Once it is empty, such answers are held, for as long as the bucket takes to fill again and at most for HOLD_S.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self._free = FREE_PER_S

    def note_work(self) -> None:
        """Counts an answer with work."""
        self._free = min(FREE_PER_S, self._free + 1)

    def take(self) -> float:
        """Counts an answer without work. Returns for how many seconds it is held."""
        now = self._clock()
        self._free = min(FREE_PER_S, self._free + FREE_PER_S * (now - self._last)) - 1
        self._last = now
        held = min(HOLD_S, max(0.0, -self._free / FREE_PER_S))
        self._free = max(self._free, -FREE_PER_S * HOLD_S)
        return held

    async def hold(self) -> None:
        """Counts an answer without work, and waits if there are too many."""
        if seconds := self.take():
            await asyncio.sleep(seconds)
