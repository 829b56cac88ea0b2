"""How much a replica takes on: so many images at a time, each request only for so long; the rest is refused at once.

Images that arrive are counted apart from those that are worked on, so that slow uploads keep no worker idle.
"""

import time
from types import TracebackType
from typing import Self

from app.draining import Drain
from app.problems import Problem, from_domain
from app.telemetry import Metrics
from model.device import LOST
from model.errors import DeviceLost


class Admission:
    """Counts the images of all requests. It belongs to one event loop."""

    def __init__(self, arriving: int, working: int, deadline_s: float, metrics: Metrics, drain: Drain) -> None:
        """So many images may be arriving at a time, and so many be worked on; a request that is alone may have more."""
        self._most_arriving, self._most_working = arriving, working
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._drain = drain
        self._arriving = self._working = 0

    def turn(self) -> "Turn":
        """A request's turn, which begins now."""
        return Turn(self, time.perf_counter() + self._deadline_s)

    def arrive(self, images: int, held: int) -> None:
        """That many more for a request of which `held` arrive already. Raises Problem if they will find no room."""
        self._require_room(self._arriving - held, images + held, self._most_arriving)
        self._require_room(self._working, images + held, self._most_working)
        self._count(images, 0)

    def work(self, images: int) -> None:
        """The images of a request that have arrived. Raises Problem if there is no room for them by now."""
        self._require_room(self._working, images, self._most_working)
        self._count(-images, images)

    def give_back(self, arriving: int, working: int) -> None:
        """The images of a request that has ended."""
        self._count(-arriving, -working)

    def _require_room(self, others: int, images: int, most: int) -> None:
        if self._drain.device_lost:
            raise from_domain(DeviceLost(LOST))
        if others > 0 and others + images > most:
            raise Problem("queue_full", "the replica has as many images as it takes on; send the request again")

    def _count(self, arriving: int, working: int) -> None:
        self._arriving += arriving
        self._working += working
        self._metrics.images_arriving.set(self._arriving)
        self._metrics.images_in_progress.set(self._working)


class Turn:
    """One request: the images that it has in the replica, and until when it is worth working on."""

    def __init__(self, admission: Admission, deadline: float) -> None:
        self.deadline = deadline
        """A moment of `time.perf_counter`."""
        self._admission = admission
        self._arriving = self._working = 0

    def arrive(self, images: int) -> None:
        """Counts the request's images as at least that many. Raises Problem if there is no room for them."""
        if (more := images - self._arriving) > 0:
            self._admission.arrive(more, self._arriving)
            self._arriving = images

    def work(self) -> None:
        """They have arrived. Raises Problem if there is no room for work on them."""
        self._admission.work(self._arriving)
        self._arriving, self._working = 0, self._arriving

    def left_s(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.deadline - time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.give_back(self._arriving, self._working)
        self._arriving = self._working = 0
