"""What the supervisor does with workers that end, hang or do not leave; they load nothing and act."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.listening import bind
from app.settings import read_settings
from app.supervisor import COMMAND, SETTLED_S, StartError, Supervisor, WorkerExit, supervise
from tests.app.crew import Crew, wait_until
from tests.app.service import HOST, PATIENCE_S, ROOT, Line, Service, environment


@contextmanager
def playing(scene: str) -> Iterator[Service]:
    """A supervisor whose worker 0 acts a scene in its first life."""
    line = [sys.executable, "-m", "tests.app.acting", scene]
    with subprocess.Popen(line, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        service = Service(process)
        try:
            yield service
        finally:
            service.end(signal.SIGKILL)


def wait_for_end(service: Service) -> Line:
    """The next line of the log that tells of a worker's end."""
    return service.wait_for(lambda line: line["message"] == "worker ended")


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        ("stick", "the network stands still"),
        ("be_silent", "it was silent for 3 s"),
        ("hang_up", "it did not come to its end"),
        ("fail", "there is no such file"),
    ],
)
def test_a_worker_that_cannot_go_on_has_a_successor_and_leaves_the_other_alone(scene: str, reason: str) -> None:
    with playing(scene) as service:
        end = wait_for_end(service)
        assert (end["worker"], end["reason"], end["again_in_s"]) == (0, reason, 0)
        successor = service.wait_for(lambda line: line["message"] == "worker ready" and line["worker"] == 0)
        assert successor["pid"] != end["pid"]
        crew = Crew(service, 2)
        assert len(crew.lines("worker ended")) == 1
        assert len(crew.alive()) == 2
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 0
        assert not crew.alive()


def test_workers_that_end_at_once_again_and_again_wait_longer_and_longer() -> None:
    with playing("end_at_once") as service:
        ends = [wait_for_end(service) for _ in range(6)]
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 0
    assert {end["reason"] for end in ends} == {"it ended with status 3"}
    for worker in (0, 1):
        delays = [end["again_in_s"] for end in ends if end["worker"] == worker]
        assert delays == [0.0, 0.5, 1.0, 2.0][: len(delays)]
    assert max(end["again_in_s"] for end in ends) >= 1


class Foretold(Supervisor):
    """Has one worker, for how long each of whose lives is ready is known before; between them nobody waits."""

    def __init__(self, listener: socket.socket, metrics: Path, lives_s: list[float]) -> None:
        super().__init__(read_settings({}, environment={}), listener, metrics, COMMAND)
        self.delays_s: list[float] = []
        self._lives_s = lives_s

    async def _run_worker(self, number: int) -> WorkerExit:  # noqa: ARG002 (the supervisor's signature)
        self._listening.set()
        return WorkerExit(None, self._lives_s[len(self.delays_s)], "")

    async def _pause(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)
        if len(self.delays_s) == len(self._lives_s):
            self._leaving.set()


@pytest.mark.parametrize(
    ("lives_s", "delays_s"),
    [
        ([1, 1, 1, SETTLED_S, SETTLED_S + 0.1, 1, 1], [0, 0.5, 1, 2, 0, 0, 0.5]),
        ([1] * 10, [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]),
    ],
)
def test_a_worker_that_was_well_for_a_while_is_waited_for_as_if_it_had_never_ended(
    tmp_path: Path, lives_s: list[float], delays_s: list[float]
) -> None:
    with bind(HOST, 0) as listener:
        supervisor = Foretold(listener, tmp_path, lives_s)
        assert asyncio.run(supervisor.run()) == 0
    assert supervisor.delays_s == delays_s


def test_a_start_in_vain_leaves_no_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.metrics.MEMORY", tmp_path)
    settings = read_settings({"port": 0}, environment={})
    with pytest.raises(StartError, match="there is no such file"):
        supervise(settings, [sys.executable, "-m", "tests.app.acting", "fail"])
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_does_not_leave_in_its_time_is_killed() -> None:
    with playing("outstay") as service:
        crew = Crew(service, 2)
        service.process.send_signal(signal.SIGTERM)
        unwilling = service.wait_for(lambda line: line["message"] == "worker did not leave in order")
        assert (unwilling["worker"], unwilling["reason"]) == (0, "signal SIGKILL ended it")
        assert service.process.wait(PATIENCE_S) == 1
        assert not crew.alive()


def test_a_second_signal_ends_a_worker_that_does_not_leave() -> None:
    with playing("ignore_sigterm") as service:
        crew = Crew(service, 2)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: crew.alive() == [crew.pids()[0]])
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 1
        assert not crew.alive()
