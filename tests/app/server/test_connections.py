"""Connections that are held, that do not read, or that send on after their answer: others do not notice them."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.metrics import Metrics
from app.server.connections import OTHER_DESCRIPTORS, Connections, connections_for
from tests.app.support.requests import pair
from tests.app.support.service import HOST, PATIENCE_S, Service, serving
from tests.app.support.short_limits import LINGER_IDLE_S
from tests.app.support.waiting import wait_until

LIMIT = 8
LARGE_PAGE = "/docs/files/swagger-ui-bundle.js"


class Connection:
    """A connection that notes whether it had to give way."""

    def __init__(self) -> None:
        self.closed = False

    def give_way(self) -> None:
        self.closed = True


def opened(count: int, limit: int = 3) -> tuple[Connections, list[Connection]]:
    connections, each = Connections(limit, Metrics()), [Connection() for _ in range(count)]
    for one in each:
        connections.add(one)
    return connections, each


def test_the_one_that_waited_longest_gives_way() -> None:
    connections, (first, second, third) = opened(3)
    connections.work(first)
    connections.wait(first)  # it is now the last
    newest = Connection()
    connections.add(newest)
    assert [one.closed for one in (first, second, third, newest)] == [False, True, False, False]


def test_the_body_that_has_arrived_longest_gives_way_if_none_waits() -> None:
    connections, (first, second, third) = opened(3)
    connections.work(first)
    connections.send(second)
    connections.send(third)
    newest = Connection()
    connections.add(newest)
    assert [one.closed for one in (first, second, third, newest)] == [False, True, False, False]


def test_the_newest_gives_way_if_all_others_are_being_answered() -> None:
    connections, each = opened(3)
    for one in each:
        connections.work(one)
    newest = Connection()
    connections.add(newest)
    assert newest.closed
    assert not any(one.closed for one in each)
    connections.remove(each[0])
    another = Connection()
    connections.add(another)
    assert not another.closed


def test_the_limit_of_descriptors_is_raised_or_allows_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [100, 1000]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(slice(None), new))
    assert connections_for(500) == 500
    assert limits == [500 + OTHER_DESCRIPTORS, 1000]
    assert connections_for(5000) == 1000 - OTHER_DESCRIPTORS
    assert limits == [1000, 1000]


@pytest.fixture(scope="module")
def service(checkpoint_path: Path) -> Iterator[Service]:
    with serving(checkpoint_path, "--connections", str(LIMIT), module="tests.app.support.short_limits") as service:
        yield service


def connect(service: Service) -> socket.socket:
    return socket.create_connection((HOST, service.port), PATIENCE_S)


def is_closed(connection: socket.socket) -> bool:
    """Whether the service has closed it; what it sent is dropped."""
    connection.settimeout(0.01)
    try:
        return connection.recv(2**20) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET /info HTTP/1.1\r\nHost:", b"POST /verify HTTP/1.1\r\nHost: a\r\n"])
def test_held_connections_keep_nobody_out(service: Service, client: httpx.Client, sent: bytes) -> None:
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(connect(service)) for _ in range(LIMIT)]
        for each in connections:
            each.sendall(sent)
        for _ in range(3):
            with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as other:
                assert other.post("/verify", files=pair()).status_code == 200
        wait_until(lambda: sum(map(is_closed, connections)) >= 1)
    if not sent:  # the line comes at most every 10 s
        service.wait_for(lambda line: "as many connections as there may be" in line["message"])
    assert "facepair_connections_closed_total 0.0" not in client.get("/metrics").text


def test_connections_are_counted(service: Service, client: httpx.Client) -> None:
    wait_until(lambda: "facepair_connections 1.0" in client.get("/metrics").text)
    with connect(service), connect(service):
        wait_until(lambda: "facepair_connections 3.0" in client.get("/metrics").text)


def test_a_client_that_does_not_read_is_closed(service: Service, client: httpx.Client) -> None:
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET {LARGE_PAGE} HTTP/1.1\r\nHost: test\r\n\r\n".encode() * 50)
        service.wait_for(lambda line: "did not read its response in time" in line["message"])
        assert client.post("/verify", files=pair()).status_code == 200
        wait_until(lambda: "facepair_connections 1.0" in client.get("/metrics").text)


HEAD = b"POST /verify HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: 100000000\r\n"


@pytest.mark.parametrize("keeps", [b"", b"Connection: close\r\n"])
def test_a_body_after_its_answer_ends_within_a_bound(service: Service, keeps: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(HEAD + keeps + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 415 ")
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < PATIENCE_S:
                connection.sendall(b"1")  # a byte now and then keeps it from being idle
                time.sleep(0.05)
        assert LINGER_IDLE_S < time.monotonic() - started < PATIENCE_S


def test_a_client_that_sends_on_reads_its_answer_before_the_end(service: Service) -> None:
    """The answer closes the connection, and what is sent after it does not reset it."""
    with connect(service) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        for _ in range(10):
            connection.sendall(bytes(10_000))
            time.sleep(0.01)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert answer.endswith(b"}")
