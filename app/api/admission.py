"""How much a replica takes on: so many images at a time, each request only for so long; the rest is refused at once.

Images that arrive are counted apart from those that are worked on, so that slow uploads take no places from work.
"""

import time
from types import TracebackType
from typing import Self

from prometheus_client import Gauge

from app.api.problems import Problem, from_domain
from app.lifecycle import Drain
from app.metrics import Metrics
from model.device import MSG_DEVICE_LOST
from model.errors import DeviceLost


class Places:
    """Places for so many images; a request that is alone may take more."""

    def __init__(self, capacity: int, gauge: Gauge) -> None:
        self.taken = 0
        self._capacity = capacity
        self._gauge = gauge

    def require(self, images: int, held: int = 0) -> None:
        """Raises Problem unless a request that holds so many places may have `images` of them in all."""
        others = self.taken - held
        if others > 0 and others + images > self._capacity:
            raise Problem("queue_full", "the replica has as many images as it takes on; send the request again")

    def take(self, images: int) -> None:
        """Adds so many images to those that have places; a negative number gives places back."""
        self.taken += images
        self._gauge.set(self.taken)


class Admission:
    """The places of a replica. It belongs to one event loop."""

    def __init__(self, arriving: int, working: int, deadline_s: float, metrics: Metrics, drain: Drain) -> None:
        """So many images may be arriving at a time, and so many be worked on."""
        self.arriving = Places(arriving, metrics.images_arriving)
        self.working = Places(working, metrics.images_in_progress)
        self._deadline_s = deadline_s
        self._drain = drain

    def turn(self) -> "Turn":
        """A request's turn, which begins now."""
        return Turn(self, time.perf_counter() + self._deadline_s)

    def require_device(self) -> None:
        """Raises Problem if there is nothing to work with any more."""
        if self._drain.device_lost:
            raise from_domain(DeviceLost(MSG_DEVICE_LOST))


class Turn:
    """One request: the places that it has, and until when it is worth working on."""

    def __init__(self, admission: Admission, deadline: float) -> None:
        self.deadline = deadline
        """A moment of `time.perf_counter`."""
        self._admission = admission
        self._arriving = self._working = 0

    def arrive(self, images: int) -> None:
        """Counts the request's images as at least that many. Raises Problem if they find no room, now or later."""
        if images > self._arriving:
            self._admission.require_device()
            self._admission.arriving.require(images, self._arriving)
            self._admission.working.require(images)
            self._admission.arriving.take(images - self._arriving)
            self._arriving = images

    def work(self) -> None:
        """They have arrived. Raises Problem if there is no room for work on them."""
        self._admission.require_device()
        self._admission.working.require(self._arriving)
        self._admission.arriving.take(-self._arriving)
        self._admission.working.take(self._arriving)
        self._arriving, self._working = 0, self._arriving

    def leave(self) -> None:
        """Gives its places back."""
        self._admission.arriving.take(-self._arriving)
        self._admission.working.take(-self._working)
        self._arriving = self._working = 0

    def remaining_s(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.deadline - time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
