"""Which requests a replica takes on; it refuses the rest, and ends each request at a deadline.

An upload counts by the bytes that it has sent so far, and an image in progress by the wait that it means for others.
Large images have a budget of pixels besides, so that a few of them do not fill the replica.
"""

import asyncio
import time
from contextlib import suppress
from math import inf
from types import TracebackType
from typing import Self

from prometheus_client import Gauge

from app.api.limits.held import MSG_FULL, HeldBytes
from app.api.limits.pace import Pace
from app.api.limits.queue import Queue
from app.api.problems import Problem, from_domain
from app.engine.cpu_budget import first_slots, large_pixels_of, queue_of
from app.lifecycle import Drain
from app.metrics import Metrics
from app.settings import Settings
from model.errors import MSG_DEVICE_LOST, DeviceLost


class Capacity:
    """The work of large images, in pixels. A request is let in while any of it is free, and may then exceed it."""

    def __init__(self, slots: int, gauge: Gauge) -> None:
        self.taken = 0
        self._slots = slots
        self._gauge = gauge

    def require(self) -> None:
        """Raises Problem if all is taken."""
        if self.taken >= self._slots:
            raise Problem("queue_full", "the replica has as many large images as it takes on; send the request again")

    def take(self, slots: int) -> None:
        """Takes further slots; a negative number gives slots back."""
        self.taken += slots
        self._gauge.set(self.taken)


class Admission:
    """The limits of a replica. It belongs to one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics, drain: Drain) -> None:
        most = queue_of(settings)
        self.work = Queue(min(first_slots(), most), most, settings.max_wait_s, metrics.images_in_progress)
        self.held = HeldBytes(max(settings.held_bytes, settings.max_request_bytes), metrics.bytes_held)
        self.large_px = Capacity(large_pixels_of(settings), metrics.large_pixels_in_progress)
        self.arriving = metrics.images_arriving
        self.pace = Pace()
        self._deadline_s = settings.deadline_s
        self._drain = drain

    def reserve(self) -> "Reservation":
        """A reservation without slots so far."""
        return Reservation(self, self._deadline_s)

    def require_room(self) -> None:
        """Raises Problem if the device was lost, or if the queue is full."""
        if self._drain.device_lost:
            raise from_domain(DeviceLost(MSG_DEVICE_LOST))
        self.work.require()


class Reservation:
    """What one request holds, and its deadline, which is set when its upload has ended. As a context it releases all at
    its end.
    """

    def __init__(self, admission: Admission, deadline_s: float) -> None:
        self.started = time.perf_counter()
        self.deadline = inf
        """Both are moments of `time.perf_counter`."""
        self.held_bytes = 0
        self.left = False
        """Whether the upload was ended to make room for others."""
        self.worked = False
        """Whether its images have been worked on."""
        self._admission = admission
        self._deadline_s = deadline_s
        self._uploading = self._working = self._large_px = 0
        self._work: asyncio.Timeout | None = None

    def begin_upload(self, images: int) -> None:
        """Notes that at least `images` arrive in all. Raises Problem if the queue is full when the first one begins."""
        if images > self._uploading:
            if not self._uploading:
                self._admission.require_room()
            self._admission.arriving.inc(images - self._uploading)
            self._uploading = images

    def receive(self, count: int) -> None:
        """Counts bytes that have arrived. Raises Problem if they find no room."""
        if self.left:
            raise Problem("queue_full", MSG_FULL)
        self._admission.held.hold(self, count)

    def ends_with(self, work: asyncio.Timeout) -> None:
        """The timeout around all work of the request, which `leave` lets pass."""
        self._work = work

    def bytes_per_s(self) -> float:
        """The mean rate of the upload so far."""
        return self.held_bytes / max(time.perf_counter() - self.started, 1e-6)

    def leave(self) -> None:
        """Ends the upload, to make room for others."""
        self.left = True
        self.release()
        if self._work:
            with suppress(RuntimeError):  # the client has just left, and the request is ending already
                self._work.reschedule(asyncio.get_running_loop().time())

    def begin_work(self) -> None:
        """Takes a slot in the queue for each image; the time for the work begins. Raises Problem if none is free."""
        self._admission.require_room()
        self._admission.held.keep(self)
        self._admission.work.take(self._uploading)
        self._admission.arriving.dec(self._uploading)
        self._uploading, self._working = 0, self._uploading
        self.deadline = time.perf_counter() + self._deadline_s
        self.worked = True

    def extend_work(self, images: int) -> None:
        """Takes slots for further images of a request that works. Raises Problem if others work and none is free."""
        if self._admission.work.taken > self._working:
            self._admission.work.require()
        self._admission.work.take(images)
        self._working += images

    def begin_large(self, work_px: int) -> None:
        """Takes the work of the request's large images from the budget. Raises Problem if others have used it up."""
        if work_px:
            self._admission.large_px.require()
            self._admission.large_px.take(work_px)
            self._large_px += work_px

    def release(self) -> None:
        """Gives everything back."""
        self._admission.arriving.dec(self._uploading)
        if self._working:
            self._admission.work.give_back(self._working)
        self._admission.held.free(self)
        self._admission.large_px.take(-self._large_px)
        self._uploading = self._working = self._large_px = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
