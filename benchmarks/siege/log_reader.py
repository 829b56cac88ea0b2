"""Reads a service's log, or leaves it unread."""

import os
import threading
from fcntl import F_SETPIPE_SZ, fcntl

PIPE_BYTES = 4096


class LogReader:
    """A small pipe for a log, and the thread that reads it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        """`writing` is the end for the service."""
        fcntl(self._reading, F_SETPIPE_SZ, PIPE_BYTES)
        self._may_read = threading.Event()
        self._may_read.set()
        threading.Thread(target=self._read, daemon=True).start()

    def pause(self) -> None:
        """Leaves further lines unread."""
        self._may_read.clear()

    def resume(self) -> None:
        """Reads again."""
        self._may_read.set()

    def close(self) -> None:
        """Closes the service's end, when the service has ended."""
        os.close(self.writing)

    def _read(self) -> None:
        while self._may_read.wait() and os.read(self._reading, PIPE_BYTES):
            pass
