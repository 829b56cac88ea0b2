"""`python -m app.health`, as a container runs it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.app.support.service import HOST, PATIENCE_S, ROOT, Service, environment, serving

PROXIES = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def service(checkpoint_path: Path) -> Iterator[Service]:
    with serving(checkpoint_path) as service:
        yield service


def ask(port: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command for a port."""
    command = [sys.executable, "-m", "app.health"]
    own = environment({"no_proxy": "", "NO_PROXY": "", **variables, "FACEPAIR_PORT": port})
    return subprocess.run(command, env=own, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize("variables", [{}, PROXIES])
def test_status_is_0_when_ready_despite_proxies(service: Service, variables: dict[str, str]) -> None:
    asked = ask(str(service.port), **variables)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 (its name there)
        """Nothing."""


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2", "::1", "::", "localhost"])
def test_asks_at_the_service_s_address(host: str) -> None:
    class Server(HTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host, 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = ask(str(server.server_port), FACEPAIR_HOST=host)
        server.shutdown()
    assert (asked.returncode, asked.stderr) == (0, "")


def test_status_is_1_when_nothing_listens() -> None:
    with socket.socket() as bound:  # taken, so that nobody else listens there
        bound.bind((HOST, 0))
        asked = ask(str(bound.getsockname()[1]))
    assert (asked.returncode, asked.stdout, asked.stderr) == (1, "", "")


def test_status_is_1_when_something_else_listens() -> None:
    with socket.create_server((HOST, 0)) as other:
        own = environment({"FACEPAIR_PORT": str(other.getsockname()[1])})
        with subprocess.Popen(
            [sys.executable, "-m", "app.health"], env=own, cwd=ROOT, stderr=subprocess.PIPE
        ) as asking:
            other.settimeout(PATIENCE_S)
            caller, _ = other.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(b"SSH-2.0-x\r\n")
            assert asking.stderr is not None
            assert (asking.stderr.read(), asking.wait(PATIENCE_S)) == (b"", 1)


def test_status_is_1_with_one_line_for_a_malformed_port() -> None:
    asked = ask("x")
    assert (asked.returncode, asked.stdout) == (1, "")
    [line] = asked.stderr.splitlines()
    assert line.startswith("error: FACEPAIR_PORT")
