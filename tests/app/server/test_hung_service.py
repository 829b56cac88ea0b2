"""When the process ends itself: its network hangs, and goes on to."""

import os
import time
from collections.abc import Callable

import pytest
import uvicorn

from app.lifecycle import Drain
from app.server.shutdown import TICKS_A_SECOND, Server

pytestmark = pytest.mark.anyio


class Ended(Exception):
    """In place of the end of this process."""


def end(status: int) -> None:
    raise Ended(status)


def new_server(health_problem: Callable[[], str | None]) -> Server:
    return Server(uvicorn.Config("nothing:app"), Drain(), 0, health_problem=health_problem, patience_s=2)


async def tick(server: Server, times: int) -> None:
    for _ in range(times):
        await server.on_tick(1)


async def test_process_ends_only_after_a_lasting_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    problem: list[str | None] = [None]
    monkeypatch.setattr(os, "_exit", end)
    server = new_server(lambda: problem[0])
    for _ in range(3):
        problem[:] = ["it hangs"]
        await tick(server, 2 * TICKS_A_SECOND)
        problem[:] = [None]
        await tick(server, 1)
    problem[:] = ["it hangs"]
    with pytest.raises(Ended, match="1"):
        await tick(server, 2 * TICKS_A_SECOND + 1)


async def test_time_while_the_process_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", end)
    server = new_server(lambda: "it hangs")
    await tick(server, 1)
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await tick(server, 1)
