"""Processes that work on tasks, one at a time each. One that ends loses its task alone, which another begins again.

`concurrent.futures` gives up all tasks when a process ends, and `multiprocessing.Pool` waits for the lost one forever.
"""

import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from model.errors import FacepairError, TrainingError

T = TypeVar("T")
R = TypeVar("R")

CONTEXT = get_context("spawn")
ENDING_S = 5.0


@dataclass(kw_only=True)
class _Worker(Generic[T]):
    """A process, and its task, at which `ended` processes ended before it."""

    process: SpawnProcess
    channel: "Connection[Any, Any]"
    task: T
    ended: int = 0

    @classmethod
    def start(cls, open_work: Callable[[], Callable[[T], Any]], task: T, ended: int = 0) -> "_Worker[T]":
        channel, other = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_serve, args=(other, open_work), daemon=True)
        process.start()
        other.close()  # so that the channel ends with the process
        worker = cls(process=process, channel=channel, task=task, ended=ended)
        worker.send(task)
        return worker

    def send(self, task: T) -> None:
        self.task = task
        with suppress(ConnectionError):  # it has ended, which `wait` says
            self.channel.send(task)

    def end(self) -> None:
        self.channel.close()
        self.process.terminate()
        self.process.join(ENDING_S)
        self.process.kill()  # it hangs


def run_tasks(
    open_work: Callable[[], Callable[[T], R]], tasks: Iterable[T], workers: int, most_ends: int
) -> Iterator[R]:
    """The results of all tasks, as they come. Each process calls `open_work` once, and what it returns for each task.

    Both must be picklable. Raises what a task raises, and TrainingError if more than `most_ends` processes end at one.
    """
    left, running = iter(tasks), list[_Worker[T]]()
    try:
        for task in left:
            running.append(_Worker.start(open_work, task))
            if len(running) == workers:
                break
        while running:
            ready = set(wait([worker.channel for worker in running]))
            for worker in [each for each in running if each.channel in ready]:
                try:
                    outcome = worker.channel.recv()
                except (EOFError, ConnectionError):
                    running.remove(worker)
                    running.append(_replace(worker, open_work, most_ends))
                    continue
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
                try:
                    worker.ended = 0
                    worker.send(next(left))
                except StopIteration:
                    running.remove(worker)
                    worker.end()
    finally:
        for worker in running:
            worker.process.terminate()  # all at once, before each is awaited
        for worker in running:
            worker.end()


def _replace(worker: _Worker[T], open_work: Callable[[], Callable[[T], Any]], most_ends: int) -> _Worker[T]:
    """A new process with the task of one that ended."""
    worker.end()
    if worker.ended >= most_ends:
        raise TrainingError(
            f"{worker.ended + 1} processes ended at one task, the last with status {worker.process.exitcode}; "
            "the machine may have too little memory: try fewer --workers"
        )
    return _Worker.start(open_work, worker.task, worker.ended + 1)


def _serve(channel: "Connection[Any, Any]", open_work: Callable[[], Callable[[Any], Any]]) -> None:
    """Replies to tasks until the other end is closed. If `open_work` fails, the error is the only reply."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that a task can clean up
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the main process ends this one
    with suppress(EOFError, ConnectionError):
        try:
            work = open_work()
            while True:
                channel.send(work(channel.recv()))
        except (EOFError, ConnectionError):
            raise
        except FacepairError as error:
            channel.send(error)
        except Exception:
            channel.send(RuntimeError(traceback.format_exc()))
