"""Jobs that wait are taken together; nobody pays for another's failure, leaving or delay."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from app.engine import batching
from app.engine.batching import Batcher, BatchError, DeadlinePassed
from tests.app.support.threads import end_thread

pytestmark = pytest.mark.anyio


class Worker:
    """Doubles numbers; keeps the batches that it saw; waits at a gate while that is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def __call__(self, jobs: list[int]) -> Sequence[int]:
        self.begun.set()
        self.gate.wait(10)
        self.batches.append(jobs)
        if 13 in jobs:
            raise ValueError("unlucky")
        return [2 * job for job in jobs if job != 99]


@asynccontextmanager
async def batcher_of(
    worker: Worker, max_size: int = 4, holds: Callable[[int], bool] = lambda _: False, workers: int = 1
) -> AsyncIterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(worker, max_size=max_size, name="test", workers=workers, holds=holds)
    try:
        yield batcher
    finally:
        worker.gate.set()
        batcher.close()


async def begin(batcher: Batcher[int, int], worker: Worker, first: int = 0) -> "asyncio.Task[object]":
    """A first job that the worker holds at its gate, so that all others wait."""
    worker.gate.clear()
    task: asyncio.Task[object] = asyncio.create_task(batcher.run(first))
    await asyncio.to_thread(worker.begun.wait, 10)
    return task


async def waiting(batcher: Batcher[int, int], *jobs: int, size: int = 1) -> "list[asyncio.Task[object]]":
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(batcher.run(job, size=size)) for job in jobs]
    await asyncio.sleep(0)
    return tasks


async def test_lone_job_starts_at_once() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        result = await batcher.run(5)
    assert (result.value, result.jobs, worker.batches) == (10, 1, [[5]])


async def test_waiting_jobs_share_batches_up_to_max_size() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        first = await begin(batcher, worker)
        others = await waiting(batcher, 1, 2, 3, 4, 5)
        assert batcher.waiting == 5
        worker.gate.set()
        results = await asyncio.gather(first, *others)
    assert worker.batches == [[0], [1, 2, 3, 4], [5]]
    assert [result.value for result in results] == [0, 2, 4, 6, 8, 10]  # type: ignore[attr-defined]


async def test_workers_run_batches_side_by_side() -> None:
    worker = Worker()
    async with batcher_of(worker, workers=2) as batcher:
        first = await begin(batcher, worker, 1)
        worker.begun.clear()
        second = asyncio.create_task(batcher.run(2))
        await asyncio.to_thread(worker.begun.wait, 10)
        others = await waiting(batcher, 3, 4)
        assert (batcher.running, batcher.waiting) == (2, 2)
        worker.gate.set()
        results = await asyncio.gather(first, second, *others)
    assert sorted(worker.batches) == [[1], [2], [3, 4]]
    assert [result.value for result in results] == [2, 4, 6, 8]  # type: ignore[attr-defined]
    assert batcher.running == 0


async def test_sizes_count_and_a_large_job_is_a_batch_of_its_own() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        first = await begin(batcher, worker)
        others = await waiting(batcher, 1, 2, size=3)
        others += await waiting(batcher, 3, size=9)
        worker.gate.set()
        await asyncio.gather(first, *others)
    assert worker.batches == [[0], [1], [2], [3]]


async def test_jobs_are_held_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)
    worker = Worker()
    async with batcher_of(worker, holds=lambda size: size < 3) as batcher:
        first = await waiting(batcher, 1, 2)
        assert not worker.begun.is_set()
        await asyncio.gather(*first, *await waiting(batcher, 3))
    assert worker.batches == [[1, 2, 3]]


async def test_held_jobs_begin_when_nothing_holds_them_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)
    worker, more = Worker(), [True]
    async with batcher_of(worker, holds=lambda _: bool(more)) as batcher:
        held = await waiting(batcher, 1, 2)
        more.clear()
        batcher.begin()
        await asyncio.gather(*held)
    assert worker.batches == [[1, 2]]


async def test_no_job_is_held_for_long() -> None:
    worker = Worker()
    async with batcher_of(worker, holds=lambda _: True) as batcher:
        first = await begin(batcher, worker)
        others = await waiting(batcher, 1, 2)
        worker.gate.set()
        await asyncio.wait_for(asyncio.gather(first, *others), 10)
    assert worker.batches == [[0], [1, 2]]


async def test_job_whose_deadline_is_near_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)
    worker = Worker()
    async with batcher_of(worker, holds=lambda _: True) as batcher:
        held = await waiting(batcher, 1)
        urgent = batcher.run(2, deadline=time.perf_counter() + 1.5 * batching.HOLD_S)
        await asyncio.wait_for(asyncio.gather(*held, urgent), 10)
    assert worker.batches == [[1, 2]]


async def test_closed_batcher_holds_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)
    worker = Worker()
    async with batcher_of(worker, holds=lambda _: True) as batcher:
        held = await waiting(batcher, 1)
        batcher.close()
        batcher.begin()
        with pytest.raises(BatchError):
            await asyncio.wait_for(asyncio.gather(*held), 10)


async def test_jobs_without_size_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)
    worker = Worker()
    async with batcher_of(worker, holds=lambda _: True) as batcher:
        held = await waiting(batcher, 1)
        await asyncio.gather(*held, *await waiting(batcher, 2, size=0))
    assert worker.batches == [[1, 2]]


async def test_job_of_cancelled_caller_is_not_run() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        first = await begin(batcher, worker)
        left, stays = await waiting(batcher, 1, 2)
        left.cancel()
        worker.gate.set()
        await asyncio.gather(first, stays)
    assert worker.batches == [[0], [2]]


async def test_job_past_its_deadline_is_not_run() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        first = await begin(batcher, worker)
        (other,) = await waiting(batcher, 2)
        for deadline_s in (-1, 0.01):
            with pytest.raises(DeadlinePassed):
                await batcher.run(1, deadline=time.perf_counter() + deadline_s)
        worker.gate.set()
        await asyncio.gather(first, other)
    assert worker.batches == [[0], [2]]


async def test_failing_batch_fails_only_its_own_callers() -> None:
    worker = Worker()
    async with batcher_of(worker, max_size=2) as batcher:
        first = await begin(batcher, worker)
        one, unlucky, other = await waiting(batcher, 1, 13, 2)
        worker.gate.set()
        for task in (one, unlucky):
            with pytest.raises(ValueError, match="unlucky"):
                await task
        assert [(await task).value for task in (first, other)] == [0, 4]  # type: ignore[attr-defined]


async def test_wrong_number_of_results_is_an_error() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        with pytest.raises(BatchError, match="0 results for 1 jobs"):
            await batcher.run(99)
        assert (await batcher.run(1)).value == 2


async def test_closed_batcher_refuses_jobs() -> None:
    worker = Worker()
    async with batcher_of(worker) as batcher:
        pass
    assert batcher.ended
    with pytest.raises(BatchError, match="the thread of the batch ended"):
        await batcher.run(1)


async def test_closing_refuses_all_waiting_jobs() -> None:
    worker = Worker()
    async with batcher_of(worker, max_size=1) as batcher:
        first = await begin(batcher, worker)
        others = await waiting(batcher, 1, 2, 3)
        worker.gate.set()
    assert (await first).value == 0  # type: ignore[attr-defined]
    for each in others:
        with pytest.raises(BatchError, match="the thread of the batch ended"):
            await asyncio.wait_for(each, 10)


async def test_ended_thread_fails_running_and_later_jobs() -> None:
    threads: list[threading.Thread] = []

    def work(jobs: list[int]) -> list[int]:
        threads.append(threading.current_thread())
        return jobs

    batcher: Batcher[int, int] = Batcher(work, max_size=1, name="test")
    await batcher.run(1)
    assert not batcher.ended
    end_thread(threads[0])
    tasks = await waiting(batcher, 2, 3)
    for task in tasks:
        with pytest.raises(BatchError, match="the thread of the batch ended"):
            await asyncio.wait_for(task, 10)
    assert batcher.ended
    with pytest.raises(BatchError, match="the thread of the batch ended"):
        await asyncio.wait_for(batcher.run(4), 10)
    batcher.close()


async def test_seconds_since_progress_count_only_without_progress() -> None:
    begun, gates, moved = threading.Event(), [threading.Event(), threading.Event()], threading.Event()

    def work(jobs: list[int]) -> list[int]:
        begun.set()
        gates[0].wait(10)
        batcher.note_progress()
        moved.set()
        gates[1].wait(10)
        return jobs

    batcher: Batcher[int, int] = Batcher(work, max_size=1, name="test")
    assert batcher.seconds_since_progress == 0
    task = asyncio.create_task(batcher.run(1))
    await asyncio.to_thread(begun.wait, 10)
    while (before_progress := batcher.seconds_since_progress) < 0.05:
        await asyncio.sleep(0)
    gates[0].set()
    before = time.perf_counter()
    await asyncio.to_thread(moved.wait, 10)
    assert batcher.seconds_since_progress < before_progress + time.perf_counter() - before
    gates[1].set()
    await task
    assert batcher.seconds_since_progress == 0
    batcher.close()
