"""Files that are either as they were or complete, whatever interrupts their writing."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on success it takes the place of `path`, on failure it is removed.

    Each process has its own partial file; those that killed processes of this host left are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    partial = partial_of(path, os.getpid())
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path, process: int) -> Path:
    """Where the process with that id, of this host, writes what is to become `path`."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{process}.partial")


def partials(path: Path) -> list[Path]:
    """The partial files of `path` that are this host's: those being written, and those that killed processes left."""
    name = re.compile(re.escape(f".{path.name}.{socket.gethostname()}.") + r"[0-9]+\.partial")
    return sorted(found for found in path.parent.glob(".*.partial") if name.fullmatch(found.name))


def _remove_stale(path: Path) -> None:
    for partial in partials(path):
        if not _lives(int(partial.name.split(".")[-2])):
            partial.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _flush(path: Path) -> None:
    """Waits until a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
