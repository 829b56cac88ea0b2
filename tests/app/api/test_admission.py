"""What is let in, what is worked on, and what is given back: the counts alone, without a server."""

import pytest

from app.api.admission import Admission, Turn
from app.api.problems import Problem
from app.lifecycle import Drain
from app.metrics import Metrics


def admission(arriving: int = 8, working: int = 4, drain: Drain | None = None) -> Admission:
    return Admission(arriving, working, 30, Metrics(), drain or Drain())


def full(turn: Turn, images: int) -> None:
    with pytest.raises(Problem) as caught:
        turn.arrive(images)
    assert caught.value.kind.code == "queue_full"


def working(admitted: Admission, images: int) -> Turn:
    turn = admitted.turn()
    turn.arrive(images)
    turn.work()
    return turn


def test_what_arrives_takes_no_place_from_what_is_worked_on() -> None:
    admitted = admission()
    for _ in range(4):
        admitted.turn().arrive(2)
    with pytest.raises(Problem):
        admitted.turn().arrive(1)
    admitted = admission()
    admitted.turn().arrive(4)
    working(admitted, 4)


def test_no_request_is_let_in_for_which_there_is_no_work_left() -> None:
    admitted = admission()
    first = working(admitted, 2)
    full(admitted.turn(), 3)
    with first:
        pass
    working(admitted, 3)


def test_who_arrives_too_late_is_refused_and_gives_its_place_back() -> None:
    admitted = admission()
    with admitted.turn() as late:
        late.arrive(2)
        working(admitted, 4)
        with pytest.raises(Problem):
            late.work()
    assert admitted.arriving.taken == 0
    assert admitted.working.taken == 4


def test_images_are_counted_once_however_often_they_are_told() -> None:
    admitted = admission()
    turn = admitted.turn()
    for count in (2, 2, 3, 1):
        turn.arrive(count)
    assert admitted.arriving.taken == 3
    turn.work()
    assert (admitted.arriving.taken, admitted.working.taken) == (0, 3)


def test_a_request_that_is_alone_may_have_more_than_there_is_room_for() -> None:
    admitted = admission()
    alone = admitted.turn()
    for count in range(1, 13):
        alone.arrive(count)
    full(admitted.turn(), 1)
    alone.work()
    full(admitted.turn(), 1)


def test_a_lost_device_lets_nothing_in() -> None:
    drain = Drain()
    admitted = admission(drain=drain)
    waiting = admitted.turn()
    waiting.arrive(1)
    drain.device_lost = True
    with pytest.raises(Problem) as arriving:
        admitted.turn().arrive(1)
    with pytest.raises(Problem) as arrived:
        waiting.work()
    assert arriving.value.kind.code == arrived.value.kind.code == "device_lost"
