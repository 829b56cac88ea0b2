"""Which Host and which Transfer-Encoding a request may have, over a real connection."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.support.requests import ANNA, BERTA, MULTIPART, check_problem, multipart
from tests.app.support.service import HOST, PATIENCE_S, Service, serving

BODY = multipart(("image1", ANNA), ("image2", BERTA))
NAMES = ("faces.example.com", "[::1]", "10.0.0.7")


@pytest.fixture(scope="module")
def service(checkpoint_path: Path) -> Iterator[Service]:
    with serving(checkpoint_path) as service:
        yield service


@pytest.fixture(scope="module")
def named_service(checkpoint_path: Path) -> Iterator[Service]:
    """A service that knows its names."""
    with serving(checkpoint_path, "--allowed-hosts", ", ".join(NAMES)) as service:
        yield service


def ask(service: Service, *lines: str, path: str = "/info", version: str = "1.1", body: bytes = b"") -> httpx.Response:
    """The answer to a request with these header lines, after which the connection must be closed if it is an error."""
    method = "POST" if body else "GET"
    head = "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "\r\n"])
    answer = b""
    with socket.create_connection((HOST, service.port), PATIENCE_S) as connection:
        connection.sendall(head.encode("latin-1") + body)
        while not (b"\r\n\r\n" in answer and answer.endswith((b"}", b"\n"))):
            part = connection.recv(65536)
            assert part, answer
            answer += part
        if not answer.startswith(b"HTTP/1.1 200"):
            assert connection.recv(65536) == b""
    text, _, content = answer.partition(b"\r\n\r\n")
    status, *fields = text.decode().split("\r\n")
    headers = [tuple(field.split(": ", 1)) for field in fields]
    return httpx.Response(int(status.split()[1]), headers=[(name, value) for name, value in headers], content=content)


@pytest.mark.parametrize("host", ["test", "test:8000", "127.0.0.1", "[::1]:80", "a_b.example", "xn--e1afmkfd.example:"])
def test_a_host_is_answered(service: Service, host: str) -> None:
    assert ask(service, f"Host: {host}").status_code == 200


@pytest.mark.parametrize(
    "lines",
    [[], ["Host:"], ["Host: a", "Host: a"], ["Host: a b"], ["Host: a/b"], ["Host: user@a"], ["Host: a:b"], ["Host: ["],
     ["Host: a, b"], ["Host: \xe9"], ["Host: a:999999"]],
)  # fmt: skip
def test_a_missing_doubled_or_malformed_host_is_refused(service: Service, lines: list[str]) -> None:
    check_problem(ask(service, *lines), 400, "invalid_host")


def test_http_1_0_needs_no_host(service: Service) -> None:
    assert ask(service, version="1.0").status_code == 200


@pytest.mark.parametrize("host", [*NAMES, "FACES.example.com:443"])
def test_the_names_of_the_service_are_answered(named_service: Service, host: str) -> None:
    assert ask(named_service, f"Host: {host}").status_code == 200


@pytest.mark.parametrize("host", ["other.example", "faces.example.com.evil.example", "127.0.0.1"])
def test_other_names_are_refused_but_for_probes(named_service: Service, host: str) -> None:
    check_problem(ask(named_service, f"Host: {host}"), 400, "invalid_host")
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert ask(named_service, f"Host: {host}", path=path).status_code == 200


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip,chunked", "identity, chunked", "deflate, gzip, chunked"])
def test_another_transfer_encoding_is_not_implemented(service: Service, coding: str) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    lines = ("Host: test", f"Transfer-Encoding: {coding}", f"Content-Type: {MULTIPART['Content-Type']}")
    check_problem(ask(service, *lines, path="/verify", body=chunks), 501, "unsupported_transfer_encoding")


def test_chunks_are_taken(service: Service) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    lines = ("Host: test", "Transfer-Encoding: Chunked", f"Content-Type: {MULTIPART['Content-Type']}")
    assert ask(service, *lines, path="/verify", body=chunks).status_code == 200
