"""Waiting for what nothing tells of."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.app.support.service import PATIENCE_S


def wait_until(holds: Callable[[], bool]) -> None:
    """Until it holds; nothing tells of it."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
