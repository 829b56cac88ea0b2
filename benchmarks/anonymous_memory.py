"""The anonymous memory of work in processes of its own: what belongs to no file, private or shared.

Pages of mapped files do not count: the kernel takes them back when it needs memory.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from benchmarks.processes import anonymous_bytes, family
from model.errors import DataError

MIB = 2**20
# How often memory is looked at.
EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long work took, the most anonymous memory of its processes together, and what it gave."""

    seconds: float
    mib: float
    result: Any = None


@dataclass
class Peak:
    """The most anonymous memory of a process and its descendants, looked at while `watch` is entered."""

    mib: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        thread = threading.Thread(target=self._look, args=(pid,))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self, pid: int) -> None:
        while True:
            self.mib = max(self.mib, sum(map(anonymous_bytes, family(pid))) / MIB)
            if self._over.wait(EVERY_S):
                return


def run_command(command: Sequence[str]) -> Measured:
    """What a command prints. Raises DataError if it fails."""
    peak, started = Peak(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, peak.watch(process.pid):
        said = process.communicate()[0]
    if process.returncode:
        raise DataError(f"a command ended with status {process.returncode}: {' '.join(command)}")
    return Measured(seconds=time.perf_counter() - started, mib=peak.mib, result=said)


def run_apart(work: Callable[[], Any]) -> Measured:
    """What a function returns, called in a process that does nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pid, peak = pool.submit(os.getpid).result(), Peak()
        started = time.perf_counter()
        with peak.watch(pid):
            result = pool.submit(work).result()
        return Measured(seconds=time.perf_counter() - started, mib=peak.mib, result=result)
