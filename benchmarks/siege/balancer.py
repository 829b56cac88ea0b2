"""The balancer of deploy/ in front of one replica."""

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.service import HOST, START_S, ServiceError, free_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"


def find_haproxy() -> str | None:
    """Its program, which Debian puts where only root looks."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def balancing(haproxy: str, replica_port: int) -> Iterator[int]:
    """Yields the balancer's port, once it sends requests to the replica. Raises ServiceError if it does not."""
    port = free_port()
    variables = {f"REPLICA{number}": f"{HOST}:{free_port()}" for number in (2, 3)}  # which are down
    variables |= {"REPLICA1": f"{HOST}:{replica_port}", "BALANCER_LISTEN": f"{HOST}:{port}"}
    variables |= {"BALANCER_METRICS": f"{HOST}:{free_port()}"}
    with subprocess.Popen(
        [haproxy, "-db", "-f", str(CONFIGURATION)],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_ready(port)
            yield port
        finally:
            process.kill()


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise ServiceError("the balancer was not ready in time")
