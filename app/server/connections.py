"""The connections of a service: how many there may be, and which one is closed to let another in."""

import logging
import resource
import time
from typing import Protocol

from app.metrics import Metrics

logger = logging.getLogger("facepair")

# Descriptors for everything but connections: libraries, decoders, the log.
OTHER_DESCRIPTORS = 128
SAY_EACH_S = 10.0


class Connection(Protocol):
    """A connection that can be closed for another one."""

    def give_way(self) -> None:
        """Closes it at once."""


class Connections:
    """All connections, up to a limit. A new one is always let in; at the limit it takes the place of the one that has
    waited longest for a request to begin, or else of the one whose body has been arriving longest.

    So clients who hold connections without using them keep nobody out.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self._metrics = metrics
        self._open: set[Connection] = set()
        # In the order in which they began to wait or to send. The others are being answered.
        self._waiting: dict[Connection, None] = {}
        self._sending: dict[Connection, None] = {}
        self._said = -SAY_EACH_S

    def add(self, connection: Connection) -> None:
        """Called with a new connection, which waits for a request."""
        self._open.add(connection)
        self.wait(connection)
        if len(self._open) > self.limit:
            self._make_room(connection)
        self._metrics.connections.set(len(self._open))

    def wait(self, connection: Connection) -> None:
        """The connection waits for a request."""
        self._sending.pop(connection, None)
        self._waiting.setdefault(connection)

    def send(self, connection: Connection) -> None:
        """The connection sends a body."""
        self._waiting.pop(connection, None)
        self._sending.setdefault(connection)

    def work(self, connection: Connection) -> None:
        """The connection waits for an answer."""
        self._waiting.pop(connection, None)
        self._sending.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """Called when a connection has ended."""
        self.work(connection)
        self._open.discard(connection)
        self._metrics.connections.set(len(self._open))

    def _make_room(self, newest: Connection) -> None:
        oldest = next(iter(self._waiting))
        chosen = next(iter(self._sending), newest) if oldest is newest else oldest
        self.remove(chosen)
        chosen.give_way()
        self._metrics.connections_closed.inc()
        if time.monotonic() - self._said > SAY_EACH_S:
            self._said = time.monotonic()
            logger.warning(
                "as many connections as there may be; the one that waited longest was closed",
                extra={"fields": {"connections": self.limit}},
            )


def connections_for(wanted: int) -> int:
    """How many connections the process's limit of descriptors allows, up to `wanted`. Raises the limit if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = max(1, soft - OTHER_DESCRIPTORS)
    logger.warning(
        "the limit of descriptors allows fewer connections; raise it (ulimit -n)",
        extra={"fields": {"wanted": wanted, "connections": allowed}},
    )
    return allowed
