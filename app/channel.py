"""What a supervisor and a worker know of each other.

The worker is started with its orders, and says how it is in lines over a pair of sockets. Whichever end closes, its
process has ended: the system sees to that even after SIGKILL.
"""

import socket
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.settings import Settings

# How often a worker that is well says so.
BEAT_S = 0.25
READY = "ready"
BEAT = "beat"
STUCK = "stuck"
FAILED = "failed"


class Orders(BaseModel):
    """What a worker is told, as JSON on its command line; `listener` and `channel` are inherited descriptors."""

    model_config = ConfigDict(frozen=True)

    number: int
    settings: Settings
    metrics: Path
    listener: int
    channel: int


class Channel:
    """A worker's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def say(self, word: str, detail: str = "") -> None:
        """Never waits: what a supervisor does not read, or is not there to read, is lost."""
        try:
            self._socket.send(f"{word} {detail}\n".encode(), socket.MSG_DONTWAIT)
        except OSError:
            return

    def wait_for_the_end(self) -> None:
        """Returns when the supervisor has ended; it says nothing before."""
        try:
            while self._socket.recv(1024):
                pass
        except ConnectionError:
            return


def parse_line(line: bytes) -> tuple[str, str]:
    """A line of `Channel.say` -> its word and its detail."""
    word, _, detail = line.decode(errors="replace").strip().partition(" ")
    return word, detail
