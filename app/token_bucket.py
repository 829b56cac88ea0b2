"""A token bucket: how often something may happen, with bursts of one second's worth."""

import time
from collections.abc import Callable


class TokenBucket:
    """Fills by `per_s` tokens a second, up to one second's worth."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._per_s = per_s
        self._clock = clock
        self._last = clock()
        self._tokens = per_s

    def give(self) -> None:
        """Adds a token."""
        self._tokens = min(self._per_s, self._tokens + 1)

    def try_take(self) -> bool:
        """Takes a token. False if there is none."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def borrow(self, longest_s: float) -> float:
        """Takes a token that may come later; for how many seconds to wait for it, at most `longest_s`."""
        self._fill()
        self._tokens -= 1
        wait_s = min(longest_s, max(0.0, -self._tokens / self._per_s))
        self._tokens = max(self._tokens, -self._per_s * longest_s)
        return wait_s

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._per_s, self._tokens + self._per_s * (now - self._last))
        self._last = now
