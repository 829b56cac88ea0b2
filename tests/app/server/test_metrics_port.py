"""Metrics on a port of their own, which callers of the API do not reach."""

import socket
from pathlib import Path

import httpx

from tests.app.support.service import HOST, serving, start_in_vain


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_metrics_are_on_their_own_port_alone(checkpoint_path: Path) -> None:
    port = free_port()
    with serving(checkpoint_path, "--metrics-port", str(port)) as service:
        assert httpx.get(f"{service.url}/metrics").status_code == 404
        assert "/metrics" not in httpx.get(f"{service.url}/openapi.json").json()["paths"]
        shown = httpx.get(f"http://{HOST}:{port}/metrics").raise_for_status()
        assert shown.headers["content-type"].startswith("text/plain; version=")
        assert 'facepair_problems_total{code="not_found"} 1.0' in shown.text
        assert "facepair_model_info{" in shown.text


def test_a_taken_metrics_port_fails_the_start() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ended = start_in_vain("--port", "0", "--metrics-port", str(port))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"cannot listen on {HOST} port {port}" in line
    assert "--metrics-port" in line


def test_one_port_for_both_fails_the_start() -> None:
    port = free_port()
    ended = start_in_vain("--port", str(port), "--metrics-port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == f"error: --port and --metrics-port are both {port}; choose another for one of them\n"
