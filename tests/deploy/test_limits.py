"""What the balancer refuses and what it lets through. Both it and the replicas end if they write to a file."""

import os
import re
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.app.support.requests import MULTIPART, check_problem, multipart
from tests.app.support.service import HOST, PATIENCE_S
from tests.app.support.waiting import wait_until
from tests.deploy.fleet import REPLICAS, Balancer, Fleet, balancing, free_ports
from tests.deploy.load import LARGE, PHOTOGRAPH, SMALL

MEBIBYTE = 1024 * 1024
WITHIN_S = 1.0


@pytest.fixture(scope="module")
def impatient_balancer(fleet: Fleet) -> Iterator[Balancer]:
    """A balancer that waits for nobody long."""
    within = f"{int(WITHIN_S * 1000)}ms"
    with balancing(fleet.ports, BALANCER_HEADERS_WITHIN=within, BALANCER_BODY_WITHIN=within) as found:
        found.wait_until(REPLICAS)
        yield found


def head(length: int) -> bytes:
    """The head of a /verify request."""
    fields = [f"{name}: {value}" for name, value in {**MULTIPART, "Host": "test", "Content-Length": length}.items()]
    return "\r\n".join(["POST /verify HTTP/1.1", *fields, "\r\n"]).encode()


def trickle(slow: socket.socket, text: bytes) -> tuple[bytes, float]:
    """What is answered to a client that sends a byte now and then, and after how long."""
    slow.settimeout(WITHIN_S / 20)
    started = time.monotonic()
    for number in range(len(text)):
        slow.sendall(text[number : number + 1])
        try:
            return slow.recv(65536), time.monotonic() - started
        except TimeoutError:
            continue
    raise AssertionError("it was never answered")


def regular_files(process: int) -> list[str]:
    """Files on a disk that a process has open to write to."""
    found = []
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            mode = entry.stat().st_mode
            flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{process}/fdinfo/{entry.name}").read_text())
        except FileNotFoundError:
            continue
        assert flags is not None
        if stat.S_ISREG(mode) and int(flags[1], 8) & (os.O_WRONLY | os.O_RDWR):
            found.append(os.readlink(entry))
    return found


def post(balancer: Balancer, body: bytes = SMALL, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return httpx.post(
        f"{balancer.url}/verify",
        content=body,
        headers={**MULTIPART, **(headers or {})},
        timeout=PATIENCE_S,
        trust_env=False,
    )


def test_photographs_of_5_megabytes_touch_no_disk(balancer: Balancer) -> None:
    with socket.create_connection((HOST, balancer.port), PATIENCE_S) as uploading:
        uploading.sendall(head(len(LARGE)) + LARGE[:-1])
        assert regular_files(balancer.process.pid) == []
        uploading.sendall(LARGE[-1:])
        assert uploading.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert balancer.process.poll() is None


def test_what_fits_no_buffer_is_served_too(balancer: Balancer) -> None:
    images = [("image", PHOTOGRAPH)] * 4
    answer = httpx.post(f"{balancer.url}/embed", content=multipart(*images), headers=MULTIPART, timeout=PATIENCE_S)
    assert len(answer.json()["data"]) == len(images)


def test_more_than_96_mebibytes_are_refused_with_an_answer_and_no_reset(balancer: Balancer) -> None:
    check_problem(post(balancer, bytes(97 * MEBIBYTE)), 413, "too_many_bytes")


def test_an_image_that_is_too_large_is_refused_by_the_replica(balancer: Balancer) -> None:
    body = multipart(("image1", bytes(30 * MEBIBYTE)))
    chunks = (body[i : i + 65536] for i in range(0, len(body), 65536))
    answer = httpx.post(f"{balancer.url}/verify", content=chunks, headers=MULTIPART, timeout=PATIENCE_S)
    check_problem(answer, 413, "too_many_bytes", "image1")


@pytest.mark.parametrize(("size", "status"), [(15_000, 200), (17_000, 431), (2_000_000, 400)])
def test_large_headers_are_refused(balancer: Balancer, size: int, status: int) -> None:
    answer = post(balancer, headers={"X-Large": "x" * size})
    assert answer.status_code == status
    assert post(balancer).status_code == 200


def test_too_many_headers_are_refused(balancer: Balancer) -> None:
    assert post(balancer, headers={f"X-{number}": "x" for number in range(64)}).status_code == 400


@pytest.mark.parametrize("sent", [b"", head(1000)], ids=["headers", "body"])
def test_a_request_that_arrives_too_slowly_is_refused(impatient_balancer: Balancer, sent: bytes) -> None:
    with socket.create_connection((HOST, impatient_balancer.port), PATIENCE_S) as slow:
        slow.sendall(sent)
        answer, after_s = trickle(slow, head(1000) if not sent else bytes(1000))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert WITHIN_S * 0.9 < after_s < WITHIN_S * 5


def test_a_request_too_many_is_refused_with_an_answer_and_no_reset(fleet: Fleet) -> None:
    with balancing(fleet.ports, BALANCER_MOST="1") as full:
        full.wait_until(REPLICAS)
        with socket.create_connection((HOST, full.port), PATIENCE_S) as uploading:
            uploading.sendall(head(19 * MEBIBYTE) + multipart(("image1", bytes(18 * MEBIBYTE))))
            full.wait_for_requests(1)
            answer = post(full, LARGE)
            assert httpx.get(f"{full.url}/health/ready", trust_env=False).status_code == 200
    check_problem(answer, 429, "queue_full")
    assert answer.headers["retry-after"] == "1"


def test_uploads_that_do_not_arrive_take_no_places(fleet: Fleet) -> None:
    with balancing(fleet.ports, BALANCER_MOST="1") as found, ExitStack() as stack:
        found.wait_until(REPLICAS)
        for _ in range(3):
            slow = stack.enter_context(socket.create_connection((HOST, found.port), PATIENCE_S))
            slow.sendall(head(len(SMALL)) + SMALL[:1])
        assert post(found).status_code == 200


def test_methods_that_there_are_not_are_refused_before_their_bodies(balancer: Balancer) -> None:
    with socket.create_connection((HOST, balancer.port), PATIENCE_S) as slow:
        slow.sendall(head(len(LARGE)).replace(b"POST", b"PUT"))
        answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"allow: GET, HEAD, POST" in answer


def test_preflights_of_browsers_reach_the_replicas(balancer: Balancer) -> None:
    answer = httpx.options(f"{balancer.url}/verify", trust_env=False)
    assert answer.headers["allow"] == "POST"


def test_its_own_answers_are_protected_like_those_of_the_replicas(balancer: Balancer) -> None:
    for answer in (httpx.get(f"{balancer.url}/metrics", trust_env=False), post(balancer)):
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


def test_connections_carry_one_request_at_a_time(balancer: Balancer) -> None:
    """HTTP/2 would let one of them fill a buffer with each stream."""
    with socket.create_connection((HOST, balancer.port), PATIENCE_S) as eager:
        eager.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        assert eager.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_without_a_replica_it_says_so() -> None:
    with balancing(free_ports(REPLICAS)) as alone:
        alone.wait_until(0)
        answer = post(alone, LARGE)
    check_problem(answer, 503, "not_ready")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "/metric%73"])
def test_the_metrics_of_some_replica_are_not_shown(balancer: Balancer, path: str) -> None:
    check_problem(httpx.get(balancer.url + path, trust_env=False), 404, "not_found")


def test_a_request_keeps_its_id(balancer: Balancer) -> None:
    assert post(balancer, headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert re.fullmatch(r"[0-9a-f-]{36}", post(balancer, headers={"X-Request-ID": "not mine"}).headers["x-request-id"])


def is_closed(balancer: Balancer) -> bool:
    """Whether it closes a further connection of this address. It counts those before a moment after they were made."""
    try:
        post(balancer)
    except httpx.TransportError:
        return True
    return False


def test_a_source_with_many_connections_is_refused_and_others_are_served(fleet: Fleet) -> None:
    with balancing(fleet.ports, BALANCER_SOURCE="3", BALANCER_SOURCE_CONNECTIONS="5") as found, ExitStack() as stack:
        found.wait_until(REPLICAS)
        for _ in range(3):
            stack.enter_context(socket.create_connection((HOST, found.port), PATIENCE_S))
        answer = post(found)
        check_problem(answer, 429, "queue_full")
        for _ in range(2):
            stack.enter_context(socket.create_connection((HOST, found.port), PATIENCE_S))
        wait_until(lambda: is_closed(found))
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(base_url=found.url, transport=transport, timeout=PATIENCE_S) as other:
            assert other.post("/verify", content=SMALL, headers=MULTIPART).status_code == 200
