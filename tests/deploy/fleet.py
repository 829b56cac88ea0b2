"""Three real replicas on ports that they keep, and the real balancer in front of them."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from tests.app.support.service import HOST, PATIENCE_S, Service, serving

CONFIGURATION = Path(__file__).parent.parent.parent / "deploy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
REPLICAS = 3
# Twice the interval between the balancer's probes.
DRAIN_S = 1.0
UP = re.compile(r'haproxy_server_status\{[^}]*state="UP"\} 1')


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in bound:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in bound]


class Fleet:
    """Replicas that are ended and started again under a balancer's eyes."""

    def __init__(self, weights: Path) -> None:
        self.ports = free_ports(REPLICAS)
        self._weights = weights
        self._running: dict[int, tuple[Service, ExitStack]] = {}

    def start(self, number: int) -> None:
        """Returns when it listens. From then on a write to a file would end it."""
        flags = ("--port", str(self.ports[number]), "--threads", "1", "--drain-s", str(DRAIN_S))
        stack = ExitStack()
        service = stack.enter_context(serving(self._weights, *flags))
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        self._running[number] = service, stack

    def end(self, number: int, wanted: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        service, stack = self._running.pop(number)
        with stack:
            return service.end(wanted)

    def close(self) -> None:
        for number in list(self._running):
            self.end(number, signal.SIGKILL)


class Balancer:
    """The balancer's process; its log is read as it is written."""

    def __init__(self, process: subprocess.Popen[str], port: int, metrics_port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.log: list[str] = []
        self._metrics = f"http://{HOST}:{metrics_port}/metrics"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def metrics(self) -> str:
        """Its Prometheus metrics."""
        return httpx.get(self._metrics, trust_env=False).text

    def sent_again(self) -> int:
        """How many times a request was sent again, to the same or to another replica."""
        pattern = r"haproxy_backend_(?:retry|redispatch)_warnings_total\{[^}]*\} (\d+)"
        return sum(map(int, re.findall(pattern, self.metrics())))

    def wait_until(self, up: int) -> None:
        """Until it sends requests to so many replicas."""
        self._wait_for(lambda metrics: len(UP.findall(metrics)) == up)

    def wait_for_requests(self, count: int) -> None:
        """Until it has so many in progress."""
        self._wait_for(lambda metrics: f'haproxy_backend_current_sessions{{proxy="replicas"}} {count}\n' in metrics)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)

    def _wait_for(self, holds: Callable[[str], bool]) -> None:
        ends = time.monotonic() + PATIENCE_S
        while True:
            with suppress(httpx.TransportError):  # it does not listen yet
                if holds(self.metrics()):
                    return
            assert time.monotonic() < ends, "".join(self.log)
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.log.append(text)


@contextmanager
def balancing(ports: Sequence[int], **variables: str) -> Iterator[Balancer]:
    """A balancer in front of replicas on these ports, that is ended if it writes to a file."""
    assert HAPROXY is not None
    port, metrics_port = free_ports(2)
    variables |= {"BALANCER_LISTEN": f"{HOST}:{port}", "BALANCER_METRICS": f"{HOST}:{metrics_port}"}
    variables |= {f"REPLICA{number}": f"{HOST}:{each}" for number, each in enumerate(ports, 1)}
    command = ["prlimit", "--fsize=0", HAPROXY, "-db", "-f", str(CONFIGURATION)]
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        balancer = Balancer(process, port, metrics_port)
        try:
            yield balancer
        finally:
            balancer.close()
