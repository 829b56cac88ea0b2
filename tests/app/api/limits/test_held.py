"""Which upload leaves when there is no room for more bytes."""

from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Gauge

from app.api.limits.held import HeldBytes
from app.api.problems import Problem


@dataclass(eq=False)
class Upload:
    """An upload with a rate of the test's choice."""

    held: HeldBytes
    rate: float = 1.0
    held_bytes: int = 0
    left: bool = False

    def bytes_per_s(self) -> float:
        return self.rate

    def leave(self) -> None:
        self.left = True
        self.held.free(self)


def new_held(limit: int = 1000) -> HeldBytes:
    return HeldBytes(limit, Gauge("bytes", "held", registry=CollectorRegistry()))


def test_there_is_room_up_to_the_limit() -> None:
    held = new_held()
    one, other = Upload(held), Upload(held, rate=2)
    held.hold(one, 400)
    held.hold(other, 600)
    assert (held.total, one.left, other.left) == (1000, False, False)
    held.free(one)
    held.hold(other, 400)
    assert held.total == 1000


def test_the_slowest_of_those_that_hold_much_leaves() -> None:
    held = new_held()
    slow, fast, trickle = Upload(held, rate=10), Upload(held, rate=1000), Upload(held, rate=0.001)
    held.hold(trickle, 3)
    held.hold(slow, 450)
    held.hold(fast, 450)
    held.hold(fast, 450)
    assert (trickle.left, slow.left, fast.left) == (False, True, False)
    assert held.total == 903


def test_the_slowest_leaves_itself() -> None:
    held = new_held()
    slow, fast = Upload(held, rate=1), Upload(held, rate=1000)
    held.hold(fast, 500)
    held.hold(slow, 500)
    with pytest.raises(Problem, match="as many bytes of uploads as it may"):
        held.hold(slow, 1)
    assert not fast.left


def test_a_complete_upload_does_not_leave() -> None:
    held = new_held()
    complete, fast = Upload(held, rate=0.001), Upload(held, rate=1000)
    held.hold(complete, 900)
    held.keep(complete)
    with pytest.raises(Problem):
        held.hold(fast, 200)
    assert not complete.left


def test_several_leave_if_they_must() -> None:
    held = new_held()
    slow = [Upload(held, rate=number) for number in range(10)]
    for each in slow:
        held.hold(each, 100)
    fast = Upload(held, rate=1e6)
    held.hold(fast, 250)
    assert [each.left for each in slow] == [True] * 3 + [False] * 7
