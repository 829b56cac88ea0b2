"""What the supervisor does with workers that end, hang or do not leave; they load nothing and act."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.app.crew import Crew, wait_until
from tests.app.service import PATIENCE_S, ROOT, Line, Service, environment


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


def test_a_second_signal_ends_a_worker_that_does_not_leave() -> None:
    with playing("ignore_sigterm") as service:
        crew = Crew(service, 2)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: crew.alive() == [crew.pids()[0]])
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 1
        assert not crew.alive()
