"""How many images may be in progress: as many as the replica finishes within the longest acceptable wait."""

import time
from collections.abc import Callable
from math import ceil, exp

from prometheus_client import Gauge

from app.api.problems import Problem

# Seconds of work over which the rate is a moving average: long enough for batches, short enough to follow the load.
MEMORY_S = 5.0
# For how many seconds the rate counts that gives the first slots, before there was any work.
PRIOR_S = 0.1
MAX_RETRY_S = 30


class Queue:
    """The images in progress of a replica, and how fast it works through them.

    The expected wait of a new image is the number in progress by the images finished a second while there was work
    (Little's law). It is let in while that is below `wait_s`; `first` images are let in however slow the replica is,
    and never more than `most`. A request of any number of images is let in while one slot is free: where it needed
    all of them free, requests of one or two images would always come first.
    """

    def __init__(
        self, first: int, most: int, wait_s: float, gauge: Gauge, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.taken = 0
        self._first = min(first, most)
        self._most = most
        self._wait_s = wait_s
        self._gauge = gauge
        self._clock = clock
        self._last = clock()
        self._worked_s = PRIOR_S
        self._finished = PRIOR_S * first / wait_s

    @property
    def images_per_s(self) -> float:
        """Images finished a second, over the last seconds in which there was work."""
        return self._finished / self._worked_s

    @property
    def slots(self) -> int:
        """How many images may be in progress at present."""
        return max(self._first, min(self._most, int(self._wait_s * self.images_per_s)))

    def require(self) -> None:
        """Raises Problem if there is no free slot."""
        if self.taken >= self.slots:
            raise Problem(
                "queue_full",
                f"{self.taken} images are in progress, as many as the replica works through in time; "
                "send the request again",
                retry_after_s=self.retry_after_s(),
            )

    def retry_after_s(self) -> int:
        """Whole seconds until the images in progress are done, at least 1."""
        return min(MAX_RETRY_S, max(1, ceil(self.taken / max(self.images_per_s, 1 / MAX_RETRY_S))))

    def take(self, images: int) -> None:
        """Takes slots."""
        self._advance()
        self.taken += images
        self._gauge.set(self.taken)

    def give_back(self, images: int) -> None:
        """Gives the slots of finished images back."""
        self._advance()
        self._finished += images
        self.taken -= images
        self._gauge.set(self.taken)

    def _advance(self) -> None:
        """Counts the time since the last change if there was work."""
        now = self._clock()
        if self.taken:
            passed = now - self._last
            kept = exp(-passed / MEMORY_S)
            self._finished *= kept
            self._worked_s = self._worked_s * kept + passed
        self._last = now
