"""What decoders have given up, as the system sees it."""

import os
import signal
from pathlib import Path

import pytest

from app.engine import confinement
from app.engine.confinement import be_ended_first, gain_no_privileges
from tests.app.engine.test_decoder_pool import analyse, parent_of, running, until
from tests.app.support.service import serving

pytestmark = pytest.mark.anyio


def core_limit(pid: int) -> list[str]:
    """The soft and the hard limit of a process's core dumps."""
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line]
    return line.split()[4:6]


async def test_decoders_leave_no_core_gain_no_privileges_and_are_ended_first() -> None:
    async with running() as (decoders, _):
        await analyse(decoders)
        [first] = decoders.pids
        os.kill(first, signal.SIGKILL)
        await until(lambda: decoders.pids and first not in decoders.pids)
        [pid] = decoders.pids
        for each in (pid, parent_of(pid)):
            assert core_limit(each) == ["0", "0"]
            assert "NoNewPrivs:\t1\n" in Path(f"/proc/{each}/status").read_text()
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        assert Path(f"/proc/{parent_of(pid)}/oom_score_adj").read_text() != "1000\n"


def test_the_service_leaves_no_core(checkpoint_path: Path) -> None:
    with serving(checkpoint_path) as service:
        assert core_limit(service.process.pid) == ["0", "0"]


def test_refusals_of_the_system_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(confinement, "PR_SET_NO_NEW_PRIVS", -1)
    gain_no_privileges()
    be_ended_first(tmp_path)
    assert "the system refuses no_new_privs" in caplog.messages[0]
    assert "before a decoder if memory is short" in caplog.messages[1]
