"""A worker as its supervisor sees it: a process that is started, listened to, and killed when it has hung."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from app.channel import BEAT_S, FAILED, READY, STUCK, Orders, parse_line
from app.ending import describe
from app.settings import Settings

# How long loading and warming up may take.
STARTING_S = 300.0
# Seconds between checks that a process which closed its channel has ended.
LOOK_S = 0.01


class WorkerProcess:
    """One process of a worker; `reason` says why it ended, as far as it is known."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket, hung_s: float) -> None:
        self.ready = False
        self.reason = ""
        self._process = process
        self._channel = channel
        self._hung_s = hung_s
        self._silent_s = 0.0
        self._told_to_leave = False

    @classmethod
    def start(
        cls, command: Sequence[str], number: int, settings: Settings, metrics: Path, listener: socket.socket
    ) -> Self:
        """In a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""
        ours, theirs = socket.socketpair()
        with theirs:
            inherited = (listener.fileno(), theirs.fileno())
            orders = Orders(
                number=number, settings=settings, metrics=metrics, listener=inherited[0], channel=inherited[1]
            )
            process = subprocess.Popen(  # noqa: S603 (ourselves)
                [*command, orders.model_dump_json()], pass_fds=inherited, start_new_session=True
            )
        return cls(process, ours, settings.hung_s)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative if a signal ended it; None before."""
        return self._process.returncode

    def send(self, wanted: signal.Signals) -> None:
        """Sends a signal unless it has ended. From then on silence is not counted: the caller sets the limit."""
        self._told_to_leave = True
        self._process.send_signal(wanted)

    async def watch(self, when_ready: Callable[[], None]) -> None:
        """Returns when the process has ended; one that hangs is killed first.

        Silence is counted while the supervisor itself runs: a pause of the whole machine is nobody's fault.
        """
        reader, writer = await asyncio.open_connection(sock=self._channel)
        try:
            while True:
                try:
                    line = await asyncio.wait_for(reader.readline(), BEAT_S)
                except TimeoutError:
                    self._wait_on()
                    continue
                if not line:
                    break
                self._hear(line, when_ready)
        finally:
            writer.close()
        await self._end()

    def _hear(self, line: bytes, when_ready: Callable[[], None]) -> None:
        self._silent_s = 0.0
        word, detail = parse_line(line)
        if word == READY:
            self.ready = True
            when_ready()
        elif word == FAILED:
            self.reason = detail
        elif word == STUCK:
            self._kill(detail)

    def _wait_on(self) -> None:
        self._silent_s += BEAT_S
        limit_s = self._hung_s if self.ready else STARTING_S
        if self._silent_s >= limit_s and not self._told_to_leave:
            self._kill(f"it was silent for {limit_s:g} s")

    def _kill(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._process.kill()

    async def _end(self) -> None:
        """The channel is closed; the process is about to end, or does not come to its end."""
        waited_s = 0.0
        while (status := self._process.poll()) is None:
            await asyncio.sleep(LOOK_S)
            waited_s += LOOK_S
            if waited_s >= self._hung_s and not self._told_to_leave:
                self._kill("it did not come to its end")
        self.reason = self.reason or describe(status)
