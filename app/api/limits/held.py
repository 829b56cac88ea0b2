"""The bytes of uploads in memory. When they reach the limit, the slowest large arrival leaves first."""

from typing import Protocol

from prometheus_client import Gauge

from app.api.problems import Problem

MSG_FULL = "the replica holds as many bytes of uploads as it may; send the request again"


class Arrival(Protocol):
    """An upload that may still be arriving."""

    held_bytes: int

    def bytes_per_s(self) -> float:
        """Its mean rate so far."""

    def leave(self) -> None:
        """Ends it and gives its bytes back."""


class HeldBytes:
    """The bytes of all requests, from their arrival to their answer. An upload counts by what it has sent so far, so
    that uploads of some bytes a second keep nobody out.

    If there is no room for more, an arrival ends: of those that hold at least the mean of all arrivals the slowest.
    """

    def __init__(self, limit_bytes: int, gauge: Gauge) -> None:
        self.total = 0
        self._limit = limit_bytes
        self._gauge = gauge
        self._arriving: dict[Arrival, None] = {}

    def hold(self, arrival: Arrival, count: int) -> None:
        """Counts further bytes of an upload. Raises Problem if it must leave itself."""
        self._arriving.setdefault(arrival)
        while self.total + count > self._limit:
            slowest = self._slowest()
            if slowest is arrival:
                raise Problem("queue_full", MSG_FULL)
            slowest.leave()
        arrival.held_bytes += count
        self._change(count)

    def keep(self, arrival: Arrival) -> None:
        """The upload is complete: it holds its bytes and no longer leaves for others."""
        self._arriving.pop(arrival, None)

    def free(self, arrival: Arrival) -> None:
        """Gives all bytes of a request back."""
        self._arriving.pop(arrival, None)
        self._change(-arrival.held_bytes)
        arrival.held_bytes = 0

    def _slowest(self) -> Arrival:
        mean = sum(each.held_bytes for each in self._arriving) / len(self._arriving)
        large = [each for each in self._arriving if each.held_bytes >= mean]
        return min(large, key=_rate_of)

    def _change(self, count: int) -> None:
        self.total += count
        self._gauge.set(self.total)


def _rate_of(arrival: Arrival) -> float:
    return arrival.bytes_per_s()
