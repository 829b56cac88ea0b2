"""How many images a replica takes on at a time; it refuses the rest at once, and ends each request at a deadline.

Images whose uploads are under way have slots of their own, so that slow uploads take none from work. Large images have
a budget of pixels besides, so that a few of them do not fill the replica.
"""

import time
from math import inf
from types import TracebackType
from typing import Self

from prometheus_client import Gauge

from app.api.problems import Problem, from_domain
from app.lifecycle import Drain
from app.metrics import Metrics
from model.errors import MSG_DEVICE_LOST, DeviceLost


class Capacity:
    """A number of slots, one per image, or one per pixel of large images.

    A request of any number of images is let in while one slot is free, and then takes more than there are, if it must:
    where it needed them all free, requests of one or two images would always come first. The slots are exceeded by at
    most the images of one request less one.
    """

    def __init__(self, slots: int, gauge: Gauge, of: str = "images") -> None:
        self.taken = 0
        self._slots = slots
        self._of = of
        self._gauge = gauge

    def require(self, held: int = 0) -> None:
        """Raises Problem if other requests than the one that holds `held` slots have taken all."""
        if self.taken - held >= self._slots:
            raise Problem("queue_full", f"the replica has as many {self._of} as it takes on; send the request again")

    def take(self, slots: int) -> None:
        """Takes so many slots more; a negative number gives slots back."""
        self.taken += slots
        self._gauge.set(self.taken)


class Admission:
    """The slots of a replica. It belongs to one event loop."""

    def __init__(
        self, uploads: int, work: int, large_px: int, deadline_s: float, metrics: Metrics, drain: Drain
    ) -> None:
        """`uploads` and `work` are the most images that may be uploaded and worked on at a time, `large_px` the most
        work of large images, in pixels.
        """
        self.uploads = Capacity(uploads, metrics.images_arriving)
        self.work = Capacity(work, metrics.images_in_progress)
        self.large_px = Capacity(large_px, metrics.large_pixels_in_progress, "large images")
        self._deadline_s = deadline_s
        self._drain = drain

    def reserve(self) -> "Reservation":
        """A reservation without slots so far."""
        return Reservation(self, self._deadline_s)

    def require_device(self) -> None:
        """Raises Problem if the device was lost."""
        if self._drain.device_lost:
            raise from_domain(DeviceLost(MSG_DEVICE_LOST))


class Reservation:
    """The slots of one request, and its deadline, which is set when its upload has ended. As a context it releases the
    slots at its end.
    """

    def __init__(self, admission: Admission, deadline_s: float) -> None:
        self.started = time.perf_counter()
        self.deadline = inf
        """Both are moments of `time.perf_counter`."""
        self._admission = admission
        self._deadline_s = deadline_s
        self._uploading = self._working = self._large_px = 0

    def begin_upload(self, images: int) -> None:
        """Takes upload slots for at least `images` in all.

        Raises Problem if others have taken all, or if there is none for work when the first image begins to arrive.
        """
        if images > self._uploading:
            self._admission.require_device()
            self._admission.uploads.require(self._uploading)
            if not self._uploading:
                self._admission.work.require()
            self._admission.uploads.take(images - self._uploading)
            self._uploading = images

    def begin_work(self) -> None:
        """Exchanges upload slots for work slots; the time for the work begins. Raises Problem if none is free."""
        self._admission.require_device()
        self._admission.work.require()
        self._admission.uploads.take(-self._uploading)
        self._admission.work.take(self._uploading)
        self._uploading, self._working = 0, self._uploading
        self.deadline = time.perf_counter() + self._deadline_s

    def begin_large(self, work_px: int) -> None:
        """Takes the work of the request's large images from the budget. Raises Problem if others have used it up."""
        if work_px:
            self._admission.large_px.require()
            self._admission.large_px.take(work_px)
            self._large_px += work_px

    def release(self) -> None:
        """Gives all slots back."""
        self._admission.uploads.take(-self._uploading)
        self._admission.work.take(-self._working)
        self._admission.large_px.take(-self._large_px)
        self._uploading = self._working = self._large_px = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
