"""What an attack may reach, how it is described, and how it is run in a process of its own."""

import asyncio
import multiprocessing
import os
import resource
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

import uvloop

# Attackers come from elsewhere; here they share the cores with the service.
NICENESS = 10
# Descriptors for the connections of an attacker.
DESCRIPTORS = 4096


@dataclass(frozen=True, kw_only=True)
class Target:
    """The port of the door, and the service's process."""

    port: int
    service_pid: int


Counts = Counter[str]
Attack = Callable[[Target, Counts], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """An attack: its name, what it does, where, and the function, which runs until it is cancelled or done.

    `whole` is for an attack that ends by itself and must be run to its end.
    """

    name: str
    what: str
    run: Attack
    door: Literal["service", "balancer"] = "service"
    whole: bool = False


class Attacker:
    """An attack in a process of its own."""

    def __init__(self, row: Row, target: Target) -> None:
        """Starts it."""
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(row.run, target, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_it_begins(self) -> None:
        """Until its process has started."""
        self._ours.recv()

    def has_ended(self) -> bool:
        """Whether it has done all that it wanted."""
        return self._ours.poll()

    def stop(self) -> tuple[Counts, float]:
        """Ends it; what it counted, and the seconds of processor time that it took."""
        with suppress(BrokenPipeError):
            self._ours.send(None)
        counts, cpu_s = self._ours.recv()
        self._process.join()
        return counts, cpu_s


def _run(attack: Attack, target: Target, channel: Connection) -> None:
    os.nice(NICENESS)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    counts: Counts = Counter()
    channel.send(None)
    uvloop.run(_until_told(attack, target, counts, channel))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    channel.send((counts, usage.ru_utime + usage.ru_stime))


async def _until_told(attack: Attack, target: Target, counts: Counts, channel: Connection) -> None:
    """Runs the attack until it is done or the other end says to stop."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(attack(target, counts))

    def listen() -> None:
        channel.recv()
        with suppress(RuntimeError):  # the loop has ended: the attack is done
            loop.call_soon_threadsafe(task.cancel)

    threading.Thread(target=listen, daemon=True).start()
    with suppress(asyncio.CancelledError):
        await task
