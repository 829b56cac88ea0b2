"""How much a replica takes on: so many images at a time, each request only for so long; the rest is refused at once."""

import time
from types import TracebackType
from typing import Self

from app.draining import Drain
from app.problems import Problem, from_domain
from app.telemetry import Metrics
from model.device import LOST
from model.errors import DeviceLost


class Admission:
    """Counts the images of all requests in progress. It belongs to one event loop."""

    def __init__(self, most_images: int, deadline_s: float, metrics: Metrics, drain: Drain) -> None:
        self._most = most_images
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._drain = drain
        self._taken = 0

    def turn(self) -> "Turn":
        """A request's turn, which begins now."""
        return Turn(self, time.perf_counter() + self._deadline_s)

    def take(self, images: int, held: int) -> None:
        """That many more for a request that has `held`; one that is alone may have more than there is room for.

        Raises Problem if there is no room, or nothing left to compute with.
        """
        if self._drain.device_lost:
            raise from_domain(DeviceLost(LOST))
        if self._taken + images > self._most and self._taken > held:
            raise Problem("queue_full", "the replica has as many images as it takes on; send the request again")
        self._add(images)

    def give_back(self, images: int) -> None:
        """The images of a request that has ended."""
        self._add(-images)

    def _add(self, images: int) -> None:
        self._taken += images
        self._metrics.images_in_progress.set(self._taken)


class Turn:
    """One request: the images that it has in the replica, and until when it is worth working on."""

    def __init__(self, admission: Admission, deadline: float) -> None:
        self.deadline = deadline
        """A moment of `time.perf_counter`."""
        self._admission = admission
        self._images = 0

    def hold(self, images: int) -> None:
        """Counts the request's images as at least that many. Raises Problem if there is no room for them."""
        if (more := images - self._images) > 0:
            self._admission.take(more, self._images)
            self._images = images

    def left_s(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.deadline - time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.give_back(self._images)
        self._images = 0
