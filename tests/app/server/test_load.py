"""A replica that has enough to do says so, one that leaves lets others know, and nobody waits for ever."""

import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.api.limits.pace import FREE_PER_S, HOLD_S
from app.api.upload_route import MSG_SLOWEST
from tests.app.support.full_queue import full_queue
from tests.app.support.requests import ANNA, BERTA, JSON, MULTIPART, check_problem, files, multipart, pair
from tests.app.support.service import HOST, PATIENCE_S, Service, serving
from tests.app.support.waiting import wait_until

BODY = multipart(("image1", ANNA), ("image2", BERTA))
PAIRS = 150


@pytest.fixture(scope="module")
def service(checkpoint_path: Path) -> Iterator[Service]:
    """A service that lets in requests while it has fewer than two images."""
    flags = ("--max-images", "3", "--queue", "2", "--deadline-s", "300")
    with serving(checkpoint_path, *flags) as service:
        yield service


@contextlib.contextmanager
def uploading(service: Service, images: int) -> Iterator[socket.socket]:
    """A stalled request of one or two images, from when they arrive."""
    with stalled(service, "/verify" if images == 2 else "/embed") as connection:
        _wait_until(service, images)
        yield connection


@contextlib.contextmanager
def stalled(service: Service, path: str) -> Iterator[socket.socket]:
    """A connection of whose request's body nothing comes."""
    fields = [f"{name}: {value}" for name, value in {**MULTIPART, "Host": "test", "Content-Length": len(BODY)}.items()]
    with socket.create_connection((HOST, service.port), PATIENCE_S) as connection:
        connection.sendall("\r\n".join([f"POST {path} HTTP/1.1", *fields, "\r\n"]).encode())
        yield connection


def _wait_until(service: Service, images: int) -> None:
    """Until the replica counts so many images whose uploads are under way."""
    ends = time.monotonic() + PATIENCE_S
    while (
        f"facepair_images_arriving {float(images)}" not in httpx.get(f"{service.url}/metrics", timeout=PATIENCE_S).text
    ):
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("path", ["/verify", "/embed"])
def test_a_full_replica_refuses_images(service: Service, client: httpx.Client, path: str) -> None:
    sent = pair() if path == "/verify" else files(("image", ANNA))
    with full_queue(service):
        answer = client.post(path, files=sent)
        check_problem(answer, 429, "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert client.post(path, files=sent).status_code == 200


def test_a_full_replica_refuses_comparisons(service: Service, client: httpx.Client) -> None:
    with full_queue(service):
        check_problem(client.post("/compare", content=b"{}", headers=JSON), 429, "queue_full")


def test_many_refusals_are_held(service: Service) -> None:
    """Sent at once over one connection, they are answered one after the other."""
    count = round(2 * FREE_PER_S)
    with full_queue(service), socket.create_connection((HOST, service.port), PATIENCE_S) as connection:
        started = time.perf_counter()
        connection.sendall(b"POST /verify HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n" * count)
        answers = b""
        while answers.count(b"HTTP/1.1 429 ") < count:
            answers += connection.recv(2**20)
        assert time.perf_counter() - started > HOLD_S


def test_a_request_of_eight_images_gets_its_turn_among_pairs(checkpoint_path: Path) -> None:
    """Pairs from more connections than the replica has slots for, each sent as soon as the one before is answered.

    Where a request needed slots for all of its images, this one was let in 200 times more rarely than a pair.
    """
    eight = multipart(("image1", ANNA), *[("image2", BERTA)] * 7)
    statuses: Counter[int] = Counter()
    tries: Counter[int] = Counter()
    ended = threading.Event()
    with serving(checkpoint_path, "--queue", "10") as busy, ThreadPoolExecutor(8) as senders:

        def send_pairs() -> None:
            with httpx.Client(base_url=busy.url, headers=MULTIPART, timeout=PATIENCE_S, trust_env=False) as client:
                while not ended.is_set():
                    statuses[client.post("/verify", content=BODY).status_code] += 1

        sending = [senders.submit(send_pairs) for _ in range(8)]
        with httpx.Client(base_url=busy.url, headers=MULTIPART, timeout=PATIENCE_S, trust_env=False) as client:
            try:
                while statuses[200] < PAIRS:
                    tries[client.post("/verify", content=eight).status_code] += 1
            finally:
                ended.set()
        for each in sending:
            each.result()
    assert set(statuses) == {200, 429}
    assert set(tries) <= {200, 429}
    assert tries[200] / tries.total() > statuses[200] / statuses.total() / 4, (tries, statuses)


def test_slow_uploads_block_nobody(service: Service, client: httpx.Client) -> None:
    with contextlib.ExitStack() as uploads:
        for _ in range(64):
            uploads.enter_context(stalled(service, "/verify"))
        _wait_until(service, 128)
        for _ in range(3):
            assert client.post("/verify", files=pair()).status_code == 200
    _wait_until(service, 0)


def test_the_slowest_large_upload_leaves_for_others(checkpoint_path: Path) -> None:
    held = len(BODY) + 100_000
    flags = ("--held-bytes", str(held), "--max-request-bytes", str(held), "--max-image-bytes", "1000000")
    with serving(checkpoint_path, *flags) as service, httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        head = f"POST /verify HTTP/1.1\r\nHost: test\r\nContent-Length: {held}\r\nContent-Type: "
        part = b'--edge\r\nContent-Disposition: form-data; name="image1"; filename="x"\r\n\r\n' + bytes(99_000)
        with socket.create_connection((HOST, service.port), PATIENCE_S) as slow:
            slow.sendall(f"{head}{MULTIPART['Content-Type']}\r\n\r\n".encode() + part)
            wait_until(lambda: f"facepair_bytes_held {float(len(part))}" in client.get("/metrics").text)
            assert client.post("/verify", files=pair()).status_code == 200
            wide = client.post("/verify", files=pair(ANNA, BERTA + bytes(80_000)))
            assert wide.status_code == 200
            answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert MSG_SLOWEST.encode() in answer


def test_a_full_replica_refuses_before_it_reads(service: Service) -> None:
    with full_queue(service), socket.create_connection((HOST, service.port), PATIENCE_S) as other:
        other.sendall(b"POST /verify HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 429 ")


def test_large_upload_is_refused_with_an_answer_and_no_reset(service: Service, client: httpx.Client) -> None:
    with full_queue(service):
        for _ in range(5):
            check_problem(client.post("/verify", files=pair(bytes(5_000_000), bytes(5_000_000))), 429, "queue_full")


def test_an_early_answer_leaves_the_connection_for_the_next_request(service: Service) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as connection:
        fields = b"Host: test\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n"
        for _ in range(2):
            connection.sendall(b"POST /verify HTTP/1.1\r\n" + fields + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 415 ")
            connection.sendall(bytes(1000))


def test_health_and_metrics_are_never_refused(service: Service, client: httpx.Client) -> None:
    with full_queue(service):
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200
        client.post("/verify", files=pair())
        assert 'facepair_problems_total{code="queue_full"}' in client.get("/metrics").text


def test_upload_that_takes_too_long_is_answered_and_releases_its_slots(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--upload-s", "0.5") as service, stalled(service, "/verify") as connection:
        connection.settimeout(PATIENCE_S)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b'"deadline_passed"' in answer
        _wait_until(service, 0)


def test_draining_replica_is_not_ready_and_still_serves(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--drain-s", "2") as service, httpx.Client(base_url=service.url) as client:
        assert client.get("/health/ready").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        answer = _wait_until_not_ready(client)
        check_problem(answer, 503, "not_ready")
        assert client.get("/health/live").status_code == 200
        served = httpx.post(f"{service.url}/verify", files=pair())  # over a new connection
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        assert service.process.wait(PATIENCE_S) == 0


def _wait_until_not_ready(client: httpx.Client) -> httpx.Response:
    ends = time.monotonic() + PATIENCE_S
    while (answer := client.get("/health/ready")).status_code == 200:
        assert time.monotonic() < ends
    return answer


def test_second_signal_ends_the_drain(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--drain-s", "60", "--grace-s", "60") as service:
        with httpx.Client(base_url=service.url) as client:
            service.process.send_signal(signal.SIGTERM)
            _wait_until_not_ready(client)
        with uploading(service, 1):
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(PATIENCE_S) == 0


def test_ctrl_c_does_not_drain(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--drain-s", "60") as service:
        assert service.end(signal.SIGINT) == 0
    assert not [line for line in service.log if "Traceback" in line]
