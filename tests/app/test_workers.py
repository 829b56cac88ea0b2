"""Several workers on one address, as processes: one that ends or hangs costs what it held, and all leave together."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.listening import bind, url
from app.settings import Settings
from app.worker import share_device
from app.worker_process import WorkerProcess
from tests.app.asking import pair
from tests.app.crew import Crew, is_alive, loading, wait_until
from tests.app.service import HOST, PATIENCE_S, serving, start_in_vain

CLIENTS = 4
# One worker may meet all clients.
FLAGS = ("--workers", "2", "--threads", "1", "--queue", str(2 * CLIENTS))


@pytest.fixture(scope="module")
def shared_crew(checkpoint_path: Path) -> Iterator[Crew]:
    with serving(checkpoint_path, *FLAGS) as service:
        yield Crew(service, 2)


@pytest.fixture
def crew(shared_crew: Crew) -> Crew:
    """Two workers, both ready."""
    shared_crew.wait_until_complete()
    return shared_crew


def test_all_workers_answer_on_one_port_and_their_metrics_add_up(crew: Crew) -> None:
    with loading(crew.url, CLIENTS) as load:
        wait_until(lambda: crew.served() == {0, 1})
    assert {request.status for request in load.ended} == {200}
    # A request is counted when its answer has gone.
    wait_until(lambda: crew.counted() == len(load.ended))
    assert {crew.counted() for _ in range(5)} == {len(load.ended)}


def test_a_killed_worker_costs_what_it_held_and_its_successor_serves(crew: Crew) -> None:
    before, killed = crew.counted(), crew.pids()[1]
    with loading(crew.url, CLIENTS) as load:
        load.wait_for(20)
        os.kill(killed, signal.SIGKILL)
        killed_at = time.monotonic()
        wait_until(lambda: crew.pids()[1] != killed)
        load.wait_for(20)
    lost = [request for request in load.ended if request.status != 200]
    assert all(request.began < killed_at for request in lost)
    assert len(lost) <= CLIENTS
    [end] = [line for line in crew.lines("worker ended") if line["pid"] == killed]
    assert (end["reason"], end["again_in_s"]) == ("signal SIGKILL ended it", 0)
    # What the killed worker had counted is still there, but for what it held.
    answered = before + len(load.ended) - len(lost)
    wait_until(lambda: answered - CLIENTS <= crew.counted())
    assert crew.counted() <= answered + len(lost)
    assert crew.in_progress() == 0


def test_a_stopped_worker_gets_no_connection_and_is_replaced(crew: Crew) -> None:
    stopped = crew.pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    with loading(crew.url, CLIENTS) as load:
        wait_until(lambda: any(line["pid"] == stopped for line in crew.lines("worker ended")))
    assert {request.status for request in load.ended} == {200}
    [end] = [line for line in crew.lines("worker ended") if line["pid"] == stopped]
    assert end["reason"] == "it was silent for 4 s"
    crew.wait_until_complete()
    assert crew.pids()[0] != stopped
    assert not is_alive(stopped)


def test_a_taken_port_is_refused_in_one_line(crew: Crew, checkpoint_path: Path) -> None:
    ended = start_in_vain(*FLAGS, "--weights", str(checkpoint_path), "--port", str(crew.service.port))
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: cannot listen on {HOST} port {crew.service.port}: Address already in use; ")


def test_workers_that_cannot_load_end_the_start_with_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    ended = start_in_vain(*FLAGS, "--device", "cpu", "--weights", str(missing), "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(missing) in line


def test_sigterm_lets_all_workers_leave_in_order_and_loses_nothing(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, *FLAGS, "--drain-s", "3") as service:
        crew = Crew(service, 2)
        folder = crew.metrics_folder()
        assert folder.is_dir()
        with loading(crew.url, CLIENTS) as load:
            load.wait_for(10)
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx.get(f"{crew.url}/health/ready", trust_env=False).status_code == 503)
            load.wait_for(CLIENTS)
            load.stop()
        assert service.process.wait(PATIENCE_S) == 0
        assert {request.status for request in load.ended} == {200}
        assert not crew.alive()
        assert not folder.exists()


def test_workers_leave_when_their_supervisor_was_killed(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, *FLAGS, "--drain-s", "60") as service:
        crew = Crew(service, 2)
        folder = crew.metrics_folder()
        assert folder.is_dir()
        assert httpx.post(f"{crew.url}/verify", files=pair(), timeout=PATIENCE_S, trust_env=False).status_code == 200
        service.end(signal.SIGKILL)
        wait_until(lambda: not crew.alive() and not folder.exists())
        with socket.socket() as successor:
            successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            successor.bind((HOST, service.port))
            successor.listen()


def test_an_address_of_version_6_is_no_address_of_version_4() -> None:
    """As with one process, which asyncio gives its listener."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind("::", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.anyio
async def test_a_network_that_hangs_ends_its_worker(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.app.hanging"]
    asked: list[asyncio.Task[httpx.Response]] = []
    impatient = settings.model_copy(update={"hung_s": 1.0})
    with bind(HOST, 0) as listener:
        async with httpx.AsyncClient(base_url=url(listener), timeout=PATIENCE_S, trust_env=False) as client:
            worker = WorkerProcess.start(command, 0, impatient, tmp_path, listener)
            await worker.watch(lambda: asked.append(asyncio.create_task(client.post("/verify", files=pair()))))
            with pytest.raises(httpx.TransportError):
                await asked[0]
    assert (worker.status, worker.reason) == (-signal.SIGKILL, "the network has been at one pass for more than 1 s")


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("auto", 0, ["auto", "auto", "auto"]),
        ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 0, ["cuda", "cuda", "cuda"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1", "cuda:1"]),
        ("cpu", 2, ["cpu", "cpu", "cpu"]),
    ],
)
def test_workers_take_one_gpu_after_the_other(device: str, gpus: int, expected: list[str]) -> None:
    assert [share_device(device, number, gpus) for number in range(3)] == expected
