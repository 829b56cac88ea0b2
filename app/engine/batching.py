"""Micro-batching: what waits is taken together whenever the thread is free, up to a maximum, and without a timer.

A lone job goes at once; a crowd fills the batches. It knows neither HTTP nor networks.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
# The results of a batch, when it began, and for how many seconds it ran.
Done = tuple[Sequence[Result], float, float]

# Seconds between checks that the thread of a running batch is alive.
LOOK_S = 0.5
BUSY = "the replica was too busy to begin in time; send the request again"


class BatchError(RuntimeError):
    """A batch was answered with another number of results than it has jobs, or its thread ended."""


class DeadlinePassed(Exception):
    """A job was not begun in time, or was given up; the message says which, and what the caller can do."""

    def __init__(self, what: str = BUSY) -> None:
        super().__init__(what)


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[Result]):
    """A result, how long it waited for a thread, how long its batch took there, and how many jobs were in it."""

    value: Result
    queue_s: float
    work_s: float
    jobs: int


@dataclass(kw_only=True, eq=False)
class _Waiting(Generic[Job, Result]):
    job: Job
    size: int
    asked: float
    future: "asyncio.Future[Timed[Result]]" = field(repr=False)
    late: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """Called at the deadline, unless the job has begun."""
        if not self.future.done():
            self.future.set_exception(DeadlinePassed())


class Batcher(Generic[Job, Result]):
    """A worker thread and the jobs that wait for it. All but `note_progress` belong to one event loop."""

    def __init__(self, work: Callable[[list[Job]], Sequence[Result]], *, max_size: int, name: str) -> None:
        """`work` gets a batch and returns as many results, in order; `max_size` limits the sum of sizes in a batch."""
        self._work = work
        self._max_size = max_size
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=self._know_thread)
        self._thread: threading.Thread | None = None
        self._busy = False
        self._last_progress = 0.0
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._closed = False

    @property
    def waiting(self) -> int:
        """The sum of the sizes of the jobs that no batch has taken yet, and that somebody waits for."""
        return sum(each.size for each in self._waiting if not each.future.done())

    async def run(self, job: Job, *, size: int = 1, deadline: float = inf) -> Timed[Result]:
        """A job's result. `deadline` is a moment of `time.perf_counter`.

        Raises DeadlinePassed as soon as that passes before the job has begun, BatchError, or what the work raised for
        its batch. A job whose caller was cancelled is not begun.
        """
        loop, asked = asyncio.get_running_loop(), time.perf_counter()
        waiting: _Waiting[Job, Result] = _Waiting(job=job, size=size, asked=asked, future=loop.create_future())
        if deadline <= asked:
            raise DeadlinePassed
        if deadline < inf:
            waiting.late = loop.call_later(deadline - asked, waiting.expire)
        self._waiting.append(waiting)
        self._begin()
        return await waiting.future

    def note_progress(self) -> None:
        """Called by the work, on its thread, whenever a part of a batch is done."""
        self._last_progress = time.perf_counter()

    @property
    def ended(self) -> bool:
        """Whether the thread is no more; then no job is taken."""
        return self._closed or self._thread_ended()

    @property
    def seconds_since_progress(self) -> float:
        """For how many seconds a batch in work has made no progress; 0 if there is none."""
        return time.perf_counter() - self._last_progress if self._busy else 0.0

    def close(self) -> None:
        """Ends the thread after the batch that it has begun."""
        self._closed = True
        self._pool.shutdown()

    def _know_thread(self) -> None:
        self._thread = threading.current_thread()

    def _thread_ended(self) -> bool:
        """Whether the thread was there and is no more."""
        return self._thread is not None and not self._thread.is_alive()

    def _begin(self) -> None:
        """Hands what waits to the thread if it is free."""
        while not self._busy and (batch := self._take()):
            self._last_progress, self._busy = time.perf_counter(), True
            try:
                running = self._hand_over([each.job for each in batch])
            except RuntimeError as error:
                for each in batch:
                    each.future.set_exception(error)
                self._busy = False
                continue
            running.add_done_callback(partial(self._end, batch))
            self._look_after(running)

    def _hand_over(self, jobs: list[Job]) -> "asyncio.Future[Done[Result]]":
        """Raises BatchError if the thread was closed or has ended, RuntimeError if none can be started."""
        if self.ended:
            raise BatchError("the thread of the batch ended")
        return asyncio.get_running_loop().run_in_executor(self._pool, self._timed, jobs)

    def _look_after(self, running: "asyncio.Future[Done[Result]]") -> None:
        """Fails a batch whose thread has ended: its future would never complete."""
        if self._thread_ended():
            running.cancel()
        elif not running.done():
            asyncio.get_running_loop().call_later(LOOK_S, self._look_after, running)

    def _take(self) -> list[_Waiting[Job, Result]]:
        """The first jobs that still have somebody to answer and together are not too large; a large one goes alone."""
        batch: list[_Waiting[Job, Result]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._max_size):
            each = self._waiting.popleft()
            if each.late:
                each.late.cancel()
            if each.future.done():
                continue
            batch.append(each)
            size += each.size
        return batch

    def _timed(self, jobs: list[Job]) -> Done[Result]:
        started = time.perf_counter()
        self.note_progress()
        results = self._work(jobs)
        if len(results) != len(jobs):
            raise BatchError(f"{len(results)} results for {len(jobs)} jobs")
        return results, started, time.perf_counter() - started

    def _end(self, batch: list[_Waiting[Job, Result]], done: "asyncio.Future[Done[Result]]") -> None:
        """Answers a batch's callers, and begins the next."""
        self._busy = False
        self._begin()
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for number, each in enumerate(batch):
            if each.future.done():
                continue
            if error is not None:
                each.future.set_exception(BatchError("the thread of the batch ended") if done.cancelled() else error)
                continue
            results, started, work_s = done.result()
            timed = Timed(value=results[number], queue_s=started - each.asked, work_s=work_s, jobs=len(batch))
            each.future.set_result(timed)
