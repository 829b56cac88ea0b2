"""Runs independent tasks on Ray: on the cores of this machine, or on a cluster that is running already.

Ray is an extra (`cluster`), and imported when it is used. A task whose worker ends begins again on another, so a task
keeps what it has done in files that all machines see.
"""

import os
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from model.errors import DataError, TrainingError

R = TypeVar("R")

# How often a task begins again. Machines of a cluster may be taken away many times during a long run.
RETRIES = 200
POLL_S = 1.0
# Tasks return little, so the memory that Ray shares between processes is the least that it takes.
OBJECT_STORE_BYTES = 80 * 2**20
LOCAL = "local"
# Ray reports to its makers unless it is told not to. On a busy machine its own processes need longer than it expects.
# It gives some of them 15 s, which no setting changes: https://github.com/ray-project/ray/issues/65983
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which Ray to use, and the CPU threads and GPUs of a task. Raises TrainingError if Ray is not installed."""

    address: str = LOCAL
    threads: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if not find_spec("ray"):
            raise TrainingError(
                "Ray is not installed; install the extra: pip install -e '.[cluster]'; or leave --ray out"
            )

    def run(
        self, tasks: Iterable[Callable[[], R]], shared: Path, watch: Callable[[], object] | None = None
    ) -> Iterator[R]:
        """The results of all tasks, as they come. The tasks must be picklable; `watch` is called now and then.

        Each task first checks that its machine sees the folder `shared`. Raises what a task raises, DataError if a
        machine does not see the folder, and TrainingError without a cluster or if a task's workers end too often.
        """
        waiting = list(tasks)
        if not waiting:
            return
        with _connected(self.address) as ray, _marked(shared) as mark:
            remote = ray.remote(num_cpus=self.threads, num_gpus=self.gpus, max_retries=RETRIES)(_perform)
            slots = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.threads)
            left = iter(waiting)
            pending = [remote.remote(task, mark) for task in islice(left, 2 * slots)]
            while pending:
                done, pending = ray.wait(pending, timeout=POLL_S)
                for each in done:
                    yield _result(ray, each)
                    pending += [remote.remote(task, mark) for task in islice(left, 1)]
                if watch:
                    watch()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A file that tells a shared folder from one of the same name on another machine."""

    path: Path
    text: str

    def require_visible(self) -> None:
        """Raises DataError on a machine that does not see it."""
        try:
            seen = self.path.read_text() == self.text
        except OSError:
            seen = False
        if not seen:
            raise DataError(
                f"{self.path.parent}: {socket.gethostname()} does not see this folder; choose an --out that all "
                "machines of the cluster share"
            )


def _perform(task: Callable[[], Any], mark: Mark) -> Any:
    """On a worker."""
    mark.require_visible()
    return task()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    local = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    except Exception as error:  # a plain one if its processes do not start in time
        raise TrainingError(f"Ray ({address}) cannot be used: {str(error).splitlines()[0]}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _marked(folder: Path) -> Iterator[Mark]:
    """Puts a mark into the folder for a time. Raises DataError if it cannot."""
    mark = Mark(path=folder.absolute() / f".cluster-{uuid.uuid4().hex}", text=uuid.uuid4().hex)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.path.write_text(mark.text)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}; choose another --out") from error
    try:
        yield mark
    finally:
        mark.path.unlink(missing_ok=True)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise TrainingError(f"a task's workers ended {RETRIES + 1} times: {str(error).splitlines()[0]}") from error
