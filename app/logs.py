"""Logs of all processes of the service: one JSON object a line, on standard error. Logging never waits for a reader.

A pipe that nobody reads would otherwise stop whatever logs next, and with the event loop every request.
"""

import json
import logging
import os
import queue
import select
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from datetime import UTC, datetime
from typing import Any

# Libraries whose log lines quote the request: Pillow the EXIF (debug), python-multipart the body (warning).
QUOTING = ("PIL", "python_multipart")
# The most records that wait for the thread; further ones are dropped. They take some megabytes.
MAX_LINES = 10_000
# How long the end of a process waits for its last lines to be read.
FLUSH_S = 1.0
POLL_S = 0.01
# Lines of this time are written together, at most TOGETHER: waking the thread costs more than a line.
GATHER_S = 0.02
TOGETHER = 500
DROPPED = "log lines dropped"


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_text or record.exc_info:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line)


class DroppingHandler(logging.Handler):
    """Writes lines to a descriptor, or drops them while nobody reads it, and then says how many it has dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.dropped = 0
        self._said = 0
        self._descriptor = descriptor
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging with each record."""
        if not self._write(self._lines_of([record]), patience_s=0):
            self.dropped += 1

    def _lines_of(self, records: Iterable[logging.LogRecord]) -> list[str]:
        """A line for each record, without those that cannot be formatted."""
        lines = []
        for record in records:
            try:
                lines.append(self.format(record))
            except Exception:
                self.handleError(record)
        return lines

    def _write(self, lines: Sequence[str], patience_s: float | None) -> bool:
        """Writes lines, and how many were dropped before them, unless that must wait; whether it did. Each piece waits
        for the reader, None for ever.
        """
        lost = len(lines)
        if (dropped := self.dropped) > self._said:
            count = {"levelname": "WARNING", "msg": DROPPED, "fields": {"lines": dropped - self._said}}
            lines = [self.format(logging.makeLogRecord(count)), *lines]
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        try:
            for piece in _pieces(lines):
                if not ready.poll(None if patience_s is None else 1000 * patience_s):
                    return False
                os.write(self._descriptor, piece)
        except BrokenPipeError:  # the reader has left
            pass
        except OSError:  # such as a full disk
            self.dropped += lost
            return True
        self._said = dropped
        return True


class QueueingHandler(DroppingHandler):
    """Hands records to a thread that formats and writes them, and drops them once MAX_LINES wait for it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._taken = self._done = 0
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging with each record, one at a time."""
        if self._records.qsize() >= MAX_LINES:
            self.dropped += 1
            return
        try:
            detached = _detach(record)
        except Exception:
            self.handleError(record)
            return
        self._taken += 1
        self._records.put(detached)

    def flush(self) -> None:
        """Waits until all lines are written, at most FLUSH_S."""
        ends = time.monotonic() + FLUSH_S
        while self._done < self._taken and time.monotonic() < ends:
            time.sleep(POLL_S)

    def _write_all(self) -> None:
        while True:
            records = [self._records.get()]
            time.sleep(GATHER_S)
            while len(records) < TOGETHER and not self._records.empty():
                records.append(self._records.get())
            self._write(self._lines_of(records), patience_s=None)
            self._done += len(records)


def _detach(record: logging.LogRecord) -> logging.LogRecord:
    """A record with its text instead of arguments that may change, and of a traceback, which keeps frames in memory."""
    if not record.args and not record.exc_info:
        return record
    detached = copy(record)
    detached.msg, detached.args = record.getMessage(), None
    if record.exc_info:
        detached.exc_text, detached.exc_info = logging.Formatter().formatException(record.exc_info), None
    return detached


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """What a pipe takes whole, though other processes write to it: short lines together, a long one in parts."""
    piece = b""
    for line in lines:
        data = f"{line}\n".encode()
        if len(piece) + len(data) > select.PIPE_BUF and piece:
            yield piece
            piece = b""
        piece += data
        while len(piece) > select.PIPE_BUF:
            yield piece[: select.PIPE_BUF]
            piece = piece[select.PIPE_BUF :]
    if piece:
        yield piece


def configure_logging(level: str, *, threads: bool = True) -> None:
    """Sends every log record of the process to standard error as JSON.

    Without threads, as for a process that forks, a line is dropped as soon as it would have to wait.
    """
    kind = QueueingHandler if threads else DroppingHandler
    # A descriptor of its own: whoever prints to sys.stderr does not wait for the thread.
    handlers: Iterable[logging.Handler] = [kind(os.dup(sys.stderr.fileno()))] if sys.stderr else [logging.NullHandler()]
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    logging.captureWarnings(True)
    # What no line has is not looked for (as Python's logging HOWTO advises): the caller, the thread, the process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they quote numbers of the image, and Python keeps them
    for library in QUOTING:
        logging.getLogger(library).setLevel(logging.ERROR)


def dropped_lines() -> int:
    """How many lines of this process were dropped so far."""
    return sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, DroppingHandler))
