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
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

# Libraries whose log lines quote the request: Pillow the EXIF (debug), python-multipart the body (warning).
QUOTING = ("PIL", "python_multipart")
# Lines that wait for the reader; further ones are dropped. With some hundred bytes a line they take some megabytes.
MAX_LINES = 10_000
# How long the end of a process waits for its last lines to be read.
FLUSH_S = 1.0
POLL_S = 0.01
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
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
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
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if not self._offer(line):
            self.dropped += 1

    def _offer(self, line: str) -> bool:
        """Writes the line unless that must wait; whether it did, or will."""
        return self._write(line, patience_s=0)

    def _write(self, line: str, patience_s: float | None) -> bool:
        """Writes a line, and how many were dropped before it. Each piece waits for the reader, None for ever."""
        if (dropped := self.dropped) > self._said:
            count = {"levelname": "WARNING", "msg": DROPPED, "fields": {"lines": dropped - self._said}}
            line = f"{self.format(logging.makeLogRecord(count))}\n{line}"
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        data = f"{line}\n".encode()
        with suppress(OSError):  # the reader has left
            for start in range(0, len(data), select.PIPE_BUF):
                if not ready.poll(None if patience_s is None else 1000 * patience_s):
                    return False
                os.write(self._descriptor, data[start : start + select.PIPE_BUF])
        self._said = dropped
        return True


class QueueingHandler(DroppingHandler):
    """Hands lines to a thread that writes them, and drops them once MAX_LINES wait for it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._lines: queue.Queue[str] = queue.Queue(MAX_LINES)
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def flush(self) -> None:
        """Waits until all lines are written, at most FLUSH_S."""
        ends = time.monotonic() + FLUSH_S
        while self._lines.unfinished_tasks and time.monotonic() < ends:
            time.sleep(POLL_S)

    def _offer(self, line: str) -> bool:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return False
        return True

    def _write_all(self) -> None:
        while True:
            self._write(self._lines.get(), patience_s=None)
            self._lines.task_done()


def configure_logging(level: str, *, threads: bool = True) -> None:
    """Sends every log record of the process to standard error as JSON.

    Without threads, as for a process that forks, a line is dropped as soon as it would have to wait.
    """
    kind = QueueingHandler if threads else DroppingHandler
    # A descriptor of its own: whoever prints to sys.stderr does not wait for the thread.
    handlers: Iterable[logging.Handler] = [kind(os.dup(sys.stderr.fileno()))] if sys.stderr else [logging.NullHandler()]
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they quote numbers of the image, and Python keeps them
    for library in QUOTING:
        logging.getLogger(library).setLevel(logging.ERROR)


def dropped_lines() -> int:
    """How many lines of this process were dropped so far."""
    return sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, DroppingHandler))
