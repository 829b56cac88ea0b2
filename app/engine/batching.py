"""Micro-batching: whenever a thread is free, it takes all jobs that wait, up to a maximum.

A job that comes alone starts at once, and many jobs at a time fill the batches. While the caller expects more jobs and
has other work, a batch may be held for a moment, since larger ones cost less. It knows neither HTTP nor networks.
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
CHECK_S = 0.5
# The longest time for which a job is held.
HOLD_S = 0.05
MSG_BUSY = "the replica was too busy to begin in time; send the request again"
MSG_ENDED = "the thread of the batch ended"


class BatchError(RuntimeError):
    """A batch had another number of results than jobs, or its thread ended."""


class DeadlinePassed(Exception):
    """A job was not begun in time, or was given up; the message says which, and what the caller can do."""

    def __init__(self, message: str = MSG_BUSY) -> None:
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[Result]):
    """A result, how long it waited for the thread, how long its batch took there, and how many jobs the batch had."""

    value: Result
    queue_s: float
    work_s: float
    jobs: int


@dataclass(kw_only=True, eq=False)
class _Waiting(Generic[Job, Result]):
    job: Job
    size: int
    asked: float
    deadline: float
    future: "asyncio.Future[Timed[Result]]" = field(repr=False)
    expiry: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """Called at the deadline, unless the job has begun."""
        if not self.future.done():
            self.future.set_exception(DeadlinePassed())


class _Worker:
    """A thread that is started with its first batch."""

    def __init__(self, name: str) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=self._know_thread)
        self.thread: threading.Thread | None = None
        self.busy = False
        self.last_progress = 0.0

    @property
    def ended(self) -> bool:
        """Whether the thread was started and has ended."""
        return self.thread is not None and not self.thread.is_alive()

    def note_progress(self) -> None:
        """A part of the batch is done."""
        self.last_progress = time.perf_counter()

    def _know_thread(self) -> None:
        self.thread = threading.current_thread()


class Batcher(Generic[Job, Result]):
    """Worker threads and the jobs that wait for them. All but `note_progress` and `running` belong to an event loop."""

    def __init__(
        self,
        work: Callable[[list[Job]], Sequence[Result]],
        *,
        max_size: int,
        name: str,
        workers: int = 1,
        holds: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """`work` gets a batch and returns a result per job, in order; `max_size` limits the sum of a batch's sizes.

        It is called by as many threads at a time as there are `workers`. `holds` says whether jobs of that size in all
        should wait for more, which they do for at most HOLD_S. Jobs of size 0, and those whose deadline is near, do not
        wait.
        """
        self._work = work
        self._holds = holds
        self._max_size = max_size
        self._workers = [_Worker(name) for _ in range(workers)]
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._hold_end: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """The sum of the sizes of the jobs that are not in a batch yet and whose callers still wait."""
        return sum(each.size for each in self._waiting if not each.future.done())

    async def run(self, job: Job, *, size: int = 1, deadline: float = inf) -> Timed[Result]:
        """A job's result. `deadline` is a moment of `time.perf_counter`.

        Raises DeadlinePassed as soon as that passes before the job has begun, BatchError, or what the work raised for
        its batch. A job whose caller was cancelled is not begun.
        """
        loop, asked = asyncio.get_running_loop(), time.perf_counter()
        waiting: _Waiting[Job, Result] = _Waiting(
            job=job, size=size, asked=asked, deadline=deadline, future=loop.create_future()
        )
        if deadline <= asked:
            raise DeadlinePassed
        if deadline < inf:
            waiting.expiry = loop.call_later(deadline - asked, waiting.expire)
        self._waiting.append(waiting)
        self.begin()
        return await waiting.future

    def note_progress(self) -> None:
        """Called by the work, on its thread, whenever a part of a batch is done."""
        for each in self._workers:
            if each.thread is threading.current_thread():
                each.note_progress()

    @property
    def running(self) -> int:
        """How many batches have begun and not ended."""
        return sum(each.busy for each in self._workers)

    @property
    def ended(self) -> bool:
        """Whether a thread has ended or all were closed; then every job is refused."""
        return self._closed or any(each.ended for each in self._workers)

    @property
    def seconds_since_progress(self) -> float:
        """For how long a running batch has made no progress, the longest of all; 0 if none is running."""
        busy = [each.last_progress for each in self._workers if each.busy]
        return time.perf_counter() - min(busy) if busy else 0.0

    def close(self) -> None:
        """Ends the threads after the batches that they have begun."""
        self._closed = True
        for each in self._workers:
            each.pool.shutdown()

    def begin(self) -> None:
        """Hands waiting jobs to free threads. To be called when `holds` may have changed."""
        while (worker := self._free_worker()) and not self._hold() and (batch := self._take()):
            worker.note_progress()
            worker.busy = True
            try:
                running = self._submit(worker, [each.job for each in batch])
            except RuntimeError as error:
                for each in batch:
                    each.future.set_exception(error)
                worker.busy = False
                continue
            running.add_done_callback(partial(self._end, worker, batch))
            self._watch(worker, running)

    def _free_worker(self) -> _Worker | None:
        return next((each for each in self._workers if not each.busy), None)

    def _hold(self) -> bool:
        """Whether the waiting jobs wait for more. If so, they begin in time by themselves."""
        if not self._waiting or self.ended:
            return False
        now, first = time.perf_counter(), self._waiting[0]
        left_s = HOLD_S - (now - first.asked)
        urgent = any(not each.size or each.deadline - now < 2 * HOLD_S for each in self._waiting)
        if left_s <= 0 or urgent or not self._holds(self.waiting):
            return False
        if self._hold_end is None:
            self._hold_end = asyncio.get_running_loop().call_later(left_s, self._end_hold)
        return True

    def _end_hold(self) -> None:
        self._hold_end = None
        self.begin()

    def _submit(self, worker: _Worker, jobs: list[Job]) -> "asyncio.Future[Done[Result]]":
        """Raises BatchError if the threads were closed or one has ended, RuntimeError if it cannot be started."""
        if self.ended:
            raise BatchError(MSG_ENDED)
        return asyncio.get_running_loop().run_in_executor(worker.pool, self._timed, worker, jobs)

    def _watch(self, worker: _Worker, running: "asyncio.Future[Done[Result]]") -> None:
        """Fails a batch whose thread has ended: its future would never complete."""
        if worker.ended:
            running.cancel()
        elif not running.done():
            asyncio.get_running_loop().call_later(CHECK_S, self._watch, worker, running)

    def _take(self) -> list[_Waiting[Job, Result]]:
        """The first jobs whose callers still wait, up to the maximum size; a job beyond it is a batch of its own."""
        batch: list[_Waiting[Job, Result]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._max_size):
            each = self._waiting.popleft()
            if each.expiry:
                each.expiry.cancel()
            if each.future.done():
                continue
            batch.append(each)
            size += each.size
        return batch

    def _timed(self, worker: _Worker, jobs: list[Job]) -> Done[Result]:
        started = time.perf_counter()
        worker.note_progress()
        results = self._work(jobs)
        if len(results) != len(jobs):
            raise BatchError(f"{len(results)} results for {len(jobs)} jobs")
        return results, started, time.perf_counter() - started

    def _end(self, worker: _Worker, batch: list[_Waiting[Job, Result]], done: "asyncio.Future[Done[Result]]") -> None:
        """Begins the next batch, and gives this one's callers their results."""
        worker.busy = False
        self.begin()
        error = BatchError(MSG_ENDED) if done.cancelled() else done.exception()
        for number, each in enumerate(batch):
            if each.future.done():
                continue
            if error is not None:
                each.future.set_exception(error)
                continue
            results, started, work_s = done.result()
            timed = Timed(value=results[number], queue_s=started - each.asked, work_s=work_s, jobs=len(batch))
            each.future.set_result(timed)
