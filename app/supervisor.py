"""Several workers on one address: each is replaced when it ends or hangs, and all leave together.

The supervisor loads nothing and serves nothing, so that little can happen to it; a worker that loses it leaves.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from app.listening import bind, url
from app.metrics import drop_gauges, metrics_parent
from app.settings import Settings
from app.worker_process import WorkerProcess
from model.errors import FacepairError

logger = logging.getLogger("facepair")

COMMAND = (sys.executable, "-m", "app.worker")
# A worker that ends so soon after it was ready would end again.
SETTLED_S = 2.0
# How long a slot waits after so many such ends one after the other; the last goes on.
DELAYS_S = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# What workers may take to end beyond the time that they were given.
MARGIN_S = 5.0
SECOND_SIGNAL_S = 2.0


class StartError(FacepairError):
    """No worker could be started."""


def supervise(settings: Settings, command: Sequence[str] = COMMAND) -> int:
    """The exit status when all workers have ended: 0 if they ended in order. Raises ListenError or StartError."""
    with (
        bind(settings.host, settings.port) as listener,
        TemporaryDirectory(prefix="facepair-", dir=metrics_parent(), ignore_cleanup_errors=True) as folder,
    ):
        return asyncio.run(Supervisor(settings, listener, Path(folder), command).run())


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended: its process if there was one, for how many seconds it was ready, why it ended."""

    pid: int | None
    ready_s: float
    reason: str


class Supervisor:
    """The workers by number, each of which is replaced by a process of the same number."""

    def __init__(self, settings: Settings, listener: socket.socket, metrics: Path, command: Sequence[str]) -> None:
        self._settings = settings
        self._listener = listener
        self._metrics = metrics
        self._command = command
        self._url = url(listener)
        self._workers: dict[int, WorkerProcess] = {}
        self._listening = asyncio.Event()
        self._leaving = asyncio.Event()
        self._failed: list[str] = []

    async def run(self) -> int:
        """Until all have ended. Raises StartError if none of the first was ever ready."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._leave, each)
        await asyncio.gather(*(self._keep_running(number) for number in range(self._settings.workers)))
        if len(self._failed) == self._settings.workers:
            raise StartError(self._failed[0])
        in_order = (0, -signal.SIGTERM, -signal.SIGINT)  # those of signals before the worker knew any better
        unwilling = {n: worker.reason for n, worker in self._workers.items() if worker.status not in in_order}
        for number, reason in unwilling.items():
            logger.error("worker did not leave in order", extra={"fields": {"worker": number, "reason": reason}})
        return 1 if unwilling else 0

    async def _keep_running(self, number: int) -> None:
        """One process after the other, until the service leaves."""
        quick_exits = 0
        while not self._leaving.is_set():
            exit_ = await self._run_worker(number)
            if not self._listening.is_set() and not self._leaving.is_set():
                await self._fail(exit_.reason)
            if self._leaving.is_set():
                return
            self._workers.pop(number, None)
            quick_exits = 0 if exit_.ready_s > SETTLED_S else quick_exits + 1
            delay_s = DELAYS_S[min(quick_exits, len(DELAYS_S) - 1)]
            fields = {"worker": number, "pid": exit_.pid, "reason": exit_.reason, "again_in_s": delay_s}
            logger.error("worker ended", extra={"fields": fields})
            await self._pause(delay_s)

    async def _run_worker(self, number: int) -> WorkerExit:
        """One process, from its start to its end."""
        try:
            worker = WorkerProcess.start(self._command, number, self._settings, self._metrics, self._listener)
        except OSError as error:  # no memory, or too many processes
            return WorkerExit(None, 0.0, f"it could not be started: {error.strerror}")
        self._workers[number] = worker
        loop = asyncio.get_running_loop()
        ready = loop.time()

        def begin() -> None:
            nonlocal ready
            ready = loop.time()
            logger.info("worker ready", extra={"fields": {"worker": number, "pid": worker.pid}})
            if not self._listening.is_set():
                self._listening.set()
                logger.info("listening on %s", self._url)

        await worker.watch(begin)
        drop_gauges(self._metrics, number)
        return WorkerExit(worker.pid, loop.time() - ready if worker.ready else 0.0, worker.reason)

    async def _fail(self, reason: str) -> None:
        """Before any worker was ready, those that failed wait for the others, and end if there is none."""
        self._failed.append(reason)
        if len(self._failed) == self._settings.workers:
            self._leaving.set()
        waiting = [asyncio.ensure_future(each.wait()) for each in (self._listening, self._leaving)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._leaving.wait(), delay_s)
        except TimeoutError:
            return

    def _leave(self, wanted: signal.Signals) -> None:
        """Hands a signal on. Whoever has not ended when its time is over is killed; a second signal leaves little."""
        allowed_s = self._settings.drain_s + self._settings.grace_s + MARGIN_S
        if self._leaving.is_set():
            allowed_s = SECOND_SIGNAL_S
        self._leaving.set()
        self._listener.close()  # else it would listen on when the workers have closed theirs
        self._send(wanted)
        asyncio.get_running_loop().call_later(allowed_s, self._send, signal.SIGKILL)

    def _send(self, wanted: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.send(wanted)
