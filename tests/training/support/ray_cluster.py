"""A Ray cluster for tests, and somebody who kills its workers."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from training.cluster import ENVIRONMENT

# Ray waits up to 15 s for ports that its own processes choose, so it is told those that it takes from outside.
OWN_PORTS = ("dashboard_agent_listen_port", "metrics_agent_port", "runtime_env_agent_port", "metrics_export_port")
STARTS = 2


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """A cluster on this machine: its address, and the process whose children are the workers."""

    address: str
    raylet: int

    def busy_workers(self) -> list[int]:
        """The processes of workers that have a task of `training.cluster`."""
        children = Path(f"/proc/{self.raylet}/task/{self.raylet}/children").read_text().split()
        return [int(child) for child in children if _command(child).startswith(b"ray::_perform")]


@contextmanager
def ray_cluster(workers: int) -> Iterator[RayCluster]:
    """A cluster with a processor for each worker, which ends with the block.

    Ray 2.60 gives its dashboard agent 15 s to start, which no setting changes. On a machine so busy that this fails
    twice, the tests are skipped (https://github.com/ray-project/ray/issues/65983).
    """
    with pytest.MonkeyPatch.context() as patch:
        # Ray's tokens would be written into the user's home folder.
        for name, value in {**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}.items():
            patch.setenv(name, value)
        cluster = _start(workers)
        (raylet,) = cluster.head_node.all_processes["raylet"]
        try:
            yield RayCluster(address=cluster.address, raylet=raylet.process.pid)
        finally:
            cluster.shutdown()


@contextmanager
def killing_workers(cluster: RayCluster, every_s: float, times: int, before: Callable[[], bool]) -> Iterator[list[int]]:
    """Kills a busy worker every so often while the block runs, first when `before` says so. Yields those killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill_some() -> None:
        while len(killed) < times and not over.wait(0.05):
            if (workers := cluster.busy_workers()) and before():
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])
                over.wait(every_s)

    thread = threading.Thread(target=kill_some)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _start(workers: int) -> Any:
    for _ in range(STARTS):
        cluster = Cluster()
        ports = dict(zip(OWN_PORTS, _free_ports(len(OWN_PORTS)), strict=True))
        try:
            cluster.add_node(
                num_cpus=workers,
                include_dashboard=False,
                include_log_monitor=False,
                no_monitor=True,
                object_store_memory=80 * 2**20,
                **ports,
            )
            return cluster
        except Exception as error:
            reason = str(error)
            cluster.shutdown()
    pytest.skip(f"the machine is too busy for Ray, which did not start {STARTS} times: {reason}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""
