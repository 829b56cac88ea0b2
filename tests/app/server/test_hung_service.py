"""When the process ends itself: its network hangs, and goes on to."""

import os
import time

import pytest
import uvicorn

from app.lifecycle import Drain
from app.server.shutdown import TICKS_A_SECOND, Server

pytestmark = pytest.mark.anyio


class Ended(Exception):
    """In place of the end of this process."""


def end(status: int) -> None:
    raise Ended(status)


async def tick(server: Server, times: int) -> None:
    for _ in range(times):
        await server.on_tick(1)


async def test_it_ends_after_its_patience_and_not_for_faults_that_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    fault: list[str] = []
    monkeypatch.setattr(os, "_exit", end)
    server = Server(uvicorn.Config("nothing:app"), Drain(), 0, fault=lambda: fault[0] if fault else None, patience_s=2)
    for _ in range(3):
        fault[:] = ["it hangs"]
        await tick(server, 2 * TICKS_A_SECOND)
        fault.clear()
        await tick(server, 1)
    fault[:] = ["it hangs"]
    with pytest.raises(Ended, match="1"):
        await tick(server, 2 * TICKS_A_SECOND + 1)


async def test_time_in_which_the_process_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", end)
    server = Server(uvicorn.Config("nothing:app"), Drain(), 0, fault=lambda: "it hangs", patience_s=2)
    await tick(server, 1)
    later = time.monotonic() + 1000
    monkeypatch.setattr(time, "monotonic", lambda: later)
    await tick(server, 1)
