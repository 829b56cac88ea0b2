"""Runs a service in its own process, on a free port of this machine, during a `with` block."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.health import is_ready
from benchmarks.processes import cpu_s, family, own_bytes, state_of
from model.errors import FacepairError

HOST = "127.0.0.1"
START_S = 120.0
STOP_S = 30.0
POLL_S = 0.05


class ServiceError(FacepairError):
    """The service did not start, or did not answer as expected."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A service that is ready."""

    port: int
    pid: int
    start_s: float
    """Seconds from the process's start until it was ready."""

    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return state_of(self.pid) not in ("", "Z", "X")

    def cpu_s(self) -> float:
        """The CPU time so far of all its threads and decoders."""
        return sum(map(cpu_s, family(self.pid)))

    def own_bytes(self) -> int:
        """The present memory of all its processes; what they share counts once."""
        return sum(map(own_bytes, family(self.pid)))

    def loop_cpu_s(self) -> float:
        """The CPU time so far of the event loop, which runs on the process's first thread."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def serving(
    weights: Path,
    device: str,
    *flags: str,
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    log_to: int | None = None,
) -> Iterator[Serving]:
    """Yields a ready service with the code of this checkout or of `root`; `variables` are added to its environment.

    `log_to` is a descriptor for its log, which is dropped otherwise.
    Raises ServiceError with the last line of its log if it does not become ready.
    """
    port = free_port()
    command = [sys.executable, "-m", "app", "--host", HOST, "--port", str(port)]
    command += ["--weights", str(weights), "--device", device, *flags]
    with running(command, port, lambda: is_ready(HOST, port), root=root, variables=variables, log_to=log_to) as service:
        yield service


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    ready: Callable[[], bool],
    *,
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
    log_to: int | None = None,
) -> Iterator[Serving]:
    """Starts a service that listens on the port, and yields it once `ready` is true.

    Raises ServiceError with the last line of its log if it does not become ready.
    """
    environment = os.environ | dict(variables or {})
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log if log_to is None else log_to, cwd=root, env=environment
        )
        try:
            started = time.monotonic()
            _wait_until_ready(process, ready, log)
            yield Serving(port=port, pid=process.pid, start_s=time.monotonic() - started)
        finally:
            _stop(process)


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
            raise ServiceError(f"the service did not start: {lines[-1] if lines else 'its log is empty'}")
        if time.monotonic() > deadline:
            raise ServiceError(f"the service was not ready after {START_S:.0f} s")
        time.sleep(POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the process to end, and kills it and its descendants if they do not."""
    descendants = family(process.pid)[1:]
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in descendants:  # LitServe leaves its own behind
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
