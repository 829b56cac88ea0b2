"""The queue of a replica that works at a known pace, on a clock of the test's own."""

import pytest
from prometheus_client import CollectorRegistry, Gauge

from app.api.limits.queue import MAX_RETRY_S, Queue
from app.api.problems import Problem


class Replica:
    """A queue, and a clock that goes on by as much as images take."""

    def __init__(self, first: int = 10, most: int = 1000, wait_s: float = 1.0) -> None:
        self.now = 0.0
        gauge = Gauge("images", "in progress", registry=CollectorRegistry())
        self.queue = Queue(first, most, wait_s, gauge, clock=lambda: self.now)

    def work(self, seconds: float, images_per_s: float, at_once: int = 2) -> None:
        """Is busy for so long; requests of two images come and go, `at_once` images at a time."""
        self.queue.take(at_once)
        for _ in range(round(seconds * images_per_s / 2)):
            self.now += 2 / images_per_s
            self.queue.give_back(2)
            self.queue.take(2)
        self.queue.give_back(at_once)

    def fill(self) -> int:
        """Lets in single images until one is refused; how many."""
        count = 0
        while True:
            try:
                self.queue.require()
            except Problem:
                return count
            self.queue.take(1)
            count += 1


def test_before_any_work_there_are_the_first_slots() -> None:
    assert Replica(first=7).fill() == 7


@pytest.mark.parametrize(("images_per_s", "wait_s"), [(50, 1.0), (230, 1.0), (230, 0.5), (900, 1.0)])
def test_the_queue_is_as_long_as_the_work_of_the_longest_wait(images_per_s: float, wait_s: float) -> None:
    replica = Replica(wait_s=wait_s)
    replica.work(30, images_per_s, at_once=8)
    assert replica.queue.images_per_s == pytest.approx(images_per_s, rel=0.05)
    assert replica.fill() == pytest.approx(images_per_s * wait_s, rel=0.05)


def test_idle_time_does_not_count() -> None:
    """A replica with few requests is as fast as one with many; its requests a second say nothing of it."""
    replica = Replica()
    for _ in range(100):
        replica.work(1, 200)
        replica.now += 60
    assert replica.queue.images_per_s == pytest.approx(200, rel=0.05)


def test_a_replica_that_becomes_slower_takes_on_less() -> None:
    replica = Replica()
    replica.work(10, 200)
    replica.work(15, 20)
    assert replica.queue.slots < 35


def test_slots_have_a_least_and_a_most() -> None:
    slow = Replica(first=10)
    slow.work(60, 1)
    assert slow.queue.slots == 10
    fast = Replica(most=300)
    fast.work(10, 5000)
    assert fast.queue.slots == 300


def test_retry_after_is_the_time_until_the_queue_is_done() -> None:
    replica = Replica(wait_s=10)
    assert replica.queue.retry_after_s() == 1
    replica.work(30, 50)
    replica.queue.take(120)
    assert replica.queue.retry_after_s() == 3
    replica.queue.take(100_000)
    assert replica.queue.retry_after_s() == MAX_RETRY_S
    with pytest.raises(Problem, match="in progress, as many as the replica works through in time") as caught:
        replica.queue.require()
    assert caught.value.retry_after_s == MAX_RETRY_S
