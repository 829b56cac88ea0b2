"""Atomic replacement of files: an interrupted write leaves the old file as it was. Folders of one process."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, EISDIR, ENOLCK, ENOSYS, ENOTDIR, ENOTSUP
from pathlib import Path
from tempfile import TemporaryFile


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a partial file in the same folder to write to; it replaces `path` on success and is removed on failure.

    Each process has its own partial file. Those left by killed processes of this host are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    partial = partial_of(path, os.getpid())
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)  # the new name; without it a power failure can bring the old file back
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from working in it; the kernel forgets it when the process ends.

    Raises BlockingIOError if another process works in it, OSError if it cannot be made. On a network's file system that
    has no locks nothing is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _unless_unsupported():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _unless_unsupported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOLCK, ENOSYS, ENOTSUP):
            raise


def require_writable_file(path: Path) -> None:
    """Raises OSError unless `replacing` can write `path`: a new or a plain file, in a folder that takes new files."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "it is a folder; add the name of a file")
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "it is no plain file")
    with suppress(FileNotFoundError, NotADirectoryError):
        partial_of(path, os.getpid()).lstat()  # a name that is too long is another error
    require_writable_folder(path.parent)


def require_writable_folder(path: Path) -> None:
    """Raises OSError unless the folder takes new files, or can be made in the first folder above it that exists."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise NotADirectoryError(ENOTDIR, f"{there} is no folder")
    with TemporaryFile(dir=there):
        pass


def partial_of(path: Path, process: int) -> Path:
    """The partial file that the process of this host with that id writes before it replaces `path`."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{process}.partial")


def partials(path: Path) -> list[Path]:
    """This host's partial files of `path`: those being written, and those left by killed processes."""
    name = re.compile(re.escape(f".{path.name}.{socket.gethostname()}.") + r"[0-9]+\.partial")
    return sorted(found for found in path.parent.glob(".*.partial") if name.fullmatch(found.name))


def _remove_stale(path: Path) -> None:
    for partial in partials(path):
        if not _is_running(int(partial.name.split(".")[-2])):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return False
    except PermissionError:  # the process belongs to another user
        return True
    return True


def _flush(path: Path) -> None:
    """Waits until a file's bytes, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
