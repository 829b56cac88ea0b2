"""Metrics that add up over workers: each keeps its values in files that outlive it, and any can read them all.

The files carry a worker's number, not its process: a successor goes on where its predecessor ended, so that no counter
ever goes back and no file is left over.
"""

import os
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 (only the place; the folder in it has a name of its own)


def place() -> Path | None:
    """Where the folder of the files should be: in memory, if it can be; None for the system's own choice."""
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None


def add_up(folder: Path, number: int) -> None:
    """From now on this process's metrics are worker `number`'s part of those in the folder."""
    os.environ[FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget(folder: Path, number: int) -> None:
    """Takes what only a living worker has, its gauges, out of the sums."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
