"""How long refusals are held, so that clients who send again at once take nothing from the work."""

import asyncio
import time
from collections.abc import Callable
from math import exp

# Refusals are held for so long once they outnumber the answers of the last seconds.
HOLD_S = 0.25
MEMORY_S = 1.0
# So many refusals within that time are never held.
FEW = 10


class Refusals:
    """The refusals and answers of the last second or so."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self._refused = self._answered = 0.0

    def note_answer(self) -> None:
        """Counts a request that was worked on."""
        self._fade()
        self._answered += 1

    async def hold(self) -> None:
        """Counts a refusal, and waits if there are more of them than answers."""
        self._fade()
        self._refused += 1
        if self._refused > max(FEW, self._answered):
            await asyncio.sleep(HOLD_S)

    def _fade(self) -> None:
        now = self._clock()
        kept = exp((self._last - now) / MEMORY_S)
        self._refused *= kept
        self._answered *= kept
        self._last = now
