"""Micro-batching: what waits is taken together whenever the worker is free, up to a maximum, and without a timer.

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

# How often is looked whether the thread of a batch in work is still there.
LOOK_S = 0.5


class BatchError(RuntimeError):
    """The worker answered a batch with another number of results than it has jobs, or it ended."""


class DeadlinePassed(Exception):
    """A job that nobody waits for any more was not begun."""


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[Result]):
    """A result, how long it waited for the worker, how long its batch took there, and how many jobs were in it."""

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


class Batcher(Generic[Job, Result]):
    """One worker thread and the jobs that wait for it. All methods belong to one event loop."""

    def __init__(self, work: Callable[[list[Job]], Sequence[Result]], *, most: int, name: str) -> None:
        """`work` gets a batch and gives as many results, in order; `most` is the sum of sizes in a batch."""
        self._work = work
        self._most = most
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=self._know_thread)
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._busy = False
        self._closed = False
        # The thread itself sets both.
        self._worker: threading.Thread | None = None
        self._moved = 0.0

    @property
    def waiting(self) -> int:
        """The sum of the sizes of the jobs that no batch has taken yet."""
        return sum(each.size for each in self._waiting)

    async def run(self, job: Job, *, size: int = 1, deadline: float = inf) -> Timed[Result]:
        """A job's result. `deadline` is a moment of `time.perf_counter`.

        Raises DeadlinePassed if the job was not begun by then, BatchError, or what the work raised for its batch. A job
        whose caller was cancelled is not begun.
        """
        future: asyncio.Future[Timed[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(job=job, size=size, asked=time.perf_counter(), deadline=deadline, future=future))
        self._begin()
        return await future

    def step(self) -> None:
        """Called by the work, on its thread, whenever a part of a batch is done."""
        self._moved = time.perf_counter()

    @property
    def ended(self) -> bool:
        """Whether there is no thread any more that could take a job."""
        return self._closed or (self._worker is not None and not self._worker.is_alive())

    @property
    def still_s(self) -> float:
        """For how long the batch in work has not moved on, in seconds; 0 if there is none."""
        return time.perf_counter() - self._moved if self._busy else 0.0

    def close(self) -> None:
        """Ends the thread after the batch that it has begun."""
        self._closed = True
        self._thread.shutdown()

    def _begin(self) -> None:
        """Hands what waits to the worker, if it is free; without a worker, nothing waits."""
        while not self._busy and (batch := self._take()):
            self._moved = time.perf_counter()
            try:
                running = self._hand_over([each.job for each in batch])
            except RuntimeError as error:
                for each in batch:
                    each.future.set_exception(error)
                continue
            self._busy = True
            running.add_done_callback(partial(self._end, batch))
            self._look_after(running)

    def _hand_over(self, jobs: list[Job]) -> "asyncio.Future[tuple[Sequence[Result], float, float]]":
        """Raises BatchError if the thread was closed or has ended, RuntimeError if none can be started."""
        if self.ended:
            raise BatchError("the worker ended")
        return asyncio.get_running_loop().run_in_executor(self._thread, self._timed, jobs)

    def _look_after(self, running: "asyncio.Future[tuple[Sequence[Result], float, float]]") -> None:
        """Gives a batch up whose thread has ended with it, since nothing else would end it."""
        if self.ended:
            running.cancel()
        elif not running.done():
            asyncio.get_running_loop().call_later(LOOK_S, self._look_after, running)

    def _know_thread(self) -> None:
        self._worker = threading.current_thread()

    def _take(self) -> list[_Waiting[Job, Result]]:
        """The first jobs that still have somebody to answer and together are not too large; a large one goes alone."""
        batch: list[_Waiting[Job, Result]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._most):
            each = self._waiting.popleft()
            if each.future.done():
                continue
            if time.perf_counter() > each.deadline:
                each.future.set_exception(DeadlinePassed())
                continue
            batch.append(each)
            size += each.size
        return batch

    def _timed(self, jobs: list[Job]) -> tuple[Sequence[Result], float, float]:
        started = time.perf_counter()
        self.step()
        results = self._work(jobs)
        if len(results) != len(jobs):
            raise BatchError(f"{len(results)} results for {len(jobs)} jobs")
        return results, started, time.perf_counter() - started

    def _end(
        self, batch: list[_Waiting[Job, Result]], done: "asyncio.Future[tuple[Sequence[Result], float, float]]"
    ) -> None:
        """Answers a batch's callers, and begins the next."""
        self._busy = False
        self._begin()
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for number, each in enumerate(batch):
            if each.future.done():
                continue
            if error is not None:
                each.future.set_exception(BatchError("the worker ended") if done.cancelled() else error)
                continue
            results, started, work_s = done.result()
            timed = Timed(value=results[number], queue_s=started - each.asked, work_s=work_s, jobs=len(batch))
            each.future.set_result(timed)
