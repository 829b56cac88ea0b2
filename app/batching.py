"""Micro-batching: what waits is taken together whenever the worker is free, up to a maximum, and without a timer.

A lone job goes at once; a crowd fills the batches. It knows neither HTTP nor networks.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class BatchError(RuntimeError):
    """The worker answered a batch with another number of results than it has jobs."""


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
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._busy = False

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

    def close(self) -> None:
        """Ends the thread after the batch that it has begun."""
        self._thread.shutdown()

    def _begin(self) -> None:
        """Hands what waits to the worker, if it is free."""
        if self._busy or not (batch := self._take()):
            return
        try:
            running = asyncio.get_running_loop().run_in_executor(
                self._thread, self._timed, [each.job for each in batch]
            )
        except RuntimeError as error:  # the thread was closed
            for each in batch:
                each.future.set_exception(error)
            return
        self._busy = True
        running.add_done_callback(lambda done: self._end(batch, done))

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
