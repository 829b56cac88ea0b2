"""facepair beside a small stand-in for its peers, and the figures that are made of measured turns."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import Measured, Start, measure_peers, peers_figures, starting
from benchmarks.peers.installing import NODE_PACKAGES, PYTHON_PACKAGES, installed
from benchmarks.processes import cpu_s, family, resume, stop
from benchmarks.service import ServiceError, serving
from benchmarks.turn_about import Bounds, Turn

# A server that gives every request the same answer, on the port of the last argument.
STAND_IN = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


def stand_in(answer: str) -> list[str]:
    """The command of a stand-in with that answer."""
    return [sys.executable, "-c", STAND_IN, answer]


def test_ratios_are_facepairs_value_by_the_peers() -> None:
    ours = [Turn(per_s=20, median_ms=30, cpu_ms=5), Turn(per_s=30, median_ms=30, cpu_ms=20)]
    theirs = [Turn(per_s=10, median_ms=60, cpu_ms=10), Turn(per_s=10, median_ms=30, cpu_ms=10)]
    other = [Turn(per_s=40, median_ms=15, cpu_ms=5), Turn(per_s=40, median_ms=15, cpu_ms=5)]
    measured = Measured(
        own_bytes={"facepair": 300 * 2**20, "ray": 400 * 2**20, "dlib": 100 * 2**20},
        turns={"facepair": {4: ours}, "ray": {4: theirs}, "dlib": {4: other}},
    )
    figures = peers_figures(measured)
    assert figures.summary == {"facepair_mib": 300, "ray_mib": 400, "dlib_mib": 100}
    own, ray, dlib = figures.table
    assert (own["service"], own["per_s"], own["per_s_ratio"], own["memory_ratio"]) == ("facepair", 25, 1, 1)
    assert (ray["service"], ray["connections"], ray["per_s"], ray["median_ms"], ray["cpu_ms"]) == ("ray", 4, 10, 45, 10)
    assert (ray["per_s_ratio"], ray["per_s_ratio_low"], ray["per_s_ratio_high"]) == (2.5, 2, 3)
    assert (ray["median_ratio"], ray["median_ratio_low"], ray["median_ratio_high"]) == (0.75, 0.5, 1)
    assert (ray["cpu_ratio"], ray["cpu_ratio_low"], ray["cpu_ratio_high"]) == (1.25, 0.5, 2)
    assert (ray["memory_ratio"], dlib["memory_ratio"], dlib["per_s_ratio"]) == (0.75, 3, 0.625)


def test_facepair_and_a_stand_in_are_loaded_in_turns(checkpoint_path: Path) -> None:
    starts: dict[str, Start] = {
        "facepair": partial(serving, checkpoint_path, "cpu", "--drain-s", "0"),
        "stand-in": partial(starting, stand_in('{"decision": "same"}')),
    }
    measured = measure_peers(starts, Bounds(connections=(2,), rounds=2, seconds=0.1))
    assert list(measured.turns) == list(measured.own_bytes) == ["facepair", "stand-in"]
    assert all([len(turns) for turns in each.values()] == [2] for each in measured.turns.values())
    assert all(turn.per_s > 0 for each in measured.turns.values() for turns in each.values() for turn in turns)
    assert min(measured.own_bytes.values()) > 1e6


def test_a_peer_that_does_not_decide_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.service.START_S", 0.5)
    starts = {"stand-in": partial(starting, stand_in('{"decision": "perhaps"}'))}
    with pytest.raises(ServiceError, match="stand-in: the service was not ready"):
        measure_peers(starts, Bounds(connections=(1,), rounds=1, seconds=0.1))


def test_a_stopped_process_and_its_children_take_no_processor_time() -> None:
    nested = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while True: pass'])\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", nested]) as process:
        try:
            while len(family(process.pid)) < 2:
                time.sleep(0.01)
            pids = family(process.pid)
            stop(process.pid)
            while any(not is_stopped(pid) for pid in pids):
                time.sleep(0.01)
            stopped_s = [cpu_s(pid) for pid in pids]
            time.sleep(0.1)
            assert [cpu_s(pid) for pid in pids] == stopped_s
            resume(process.pid)
            while any(cpu_s(pid) <= before_s for pid, before_s in zip(pids, stopped_s, strict=True)):
                time.sleep(0.01)
        finally:
            for pid in family(process.pid)[::-1]:
                os.kill(pid, signal.SIGKILL)


def is_stopped(pid: int) -> bool:
    """Whether the kernel shows the process as stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"


def test_only_peers_that_are_installed_are_compared(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    assert list(installed(tmp_path, weights, None)) == ["fastapi"]
    for name in ("litserve", "face-api"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "installed").touch()
    found = installed(tmp_path, weights, tmp_path / "network.onnx")
    assert list(found) == ["fastapi", "litserve", "face-api", "mobilefacenet"]
    assert found["litserve"][1:] == ["-m", "benchmarks.peers.litserve_server", str(weights)]
    assert all(str(tmp_path) in " ".join(command) for command in found.values())


def test_every_peer_has_an_exact_version() -> None:
    python = [each for packages in PYTHON_PACKAGES.values() for each in packages if not each.startswith("--")]
    assert all("==" in each for each in python)
    assert all("@" in each[1:] for each in NODE_PACKAGES)
