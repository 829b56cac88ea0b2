"""What is let in, what is worked on, and what is given back: the counts alone, without a server."""

import time
from math import inf
from typing import Any

import pytest

from app.api.admission import Admission, Reservation
from app.api.problems import Problem
from app.lifecycle import Drain
from app.metrics import Metrics
from app.settings import Settings


def new_admission(drain: Drain | None = None, **settings: Any) -> Admission:
    return Admission(Settings(**{"queue": 4, "large_pixels": 1024, **settings}), Metrics(), drain or Drain())


def assert_refused(reservation: Reservation, images: int) -> None:
    with pytest.raises(Problem) as caught:
        reservation.begin_upload(images)
    assert caught.value.kind.code == "queue_full"


def begin_work(admission: Admission, images: int) -> Reservation:
    reservation = admission.reserve()
    reservation.begin_upload(images)
    reservation.begin_work()
    return reservation


def test_uploads_take_no_work_slots() -> None:
    admission = new_admission()
    for _ in range(100):
        admission.reserve().begin_upload(2)
    begin_work(admission, 4)


def test_uploads_are_refused_without_a_free_work_slot() -> None:
    admission = new_admission()
    first = begin_work(admission, 4)
    assert_refused(admission.reserve(), 1)
    with first:
        pass
    begin_work(admission, 1)


def test_one_free_slot_lets_in_a_request_of_many_images() -> None:
    """Else requests of two images, of which one always ends first, would keep a request of eight out."""
    admission = new_admission()
    pairs = [begin_work(admission, 2), begin_work(admission, 2)]
    assert_refused(admission.reserve(), 8)
    pairs[0].release()
    many = begin_work(admission, 8)
    assert admission.work.taken == 10
    pairs[1].release()
    assert_refused(admission.reserve(), 1)
    many.release()
    begin_work(admission, 1)


def test_a_request_that_works_takes_further_slots_if_one_is_free_or_it_is_alone() -> None:
    admission = new_admission()
    explained = begin_work(admission, 4)
    explained.extend_work(72)
    assert admission.work.taken == 76
    assert_refused(admission.reserve(), 1)
    explained.release()
    assert admission.work.taken == 0
    explained, other = begin_work(admission, 2), begin_work(admission, 2)
    with pytest.raises(Problem) as caught:
        explained.extend_work(72)
    assert caught.value.kind.code == "queue_full"
    other.release()
    begin_work(admission, 1)
    explained.extend_work(72)


def test_further_images_of_an_upload_need_no_work_slot_before_its_end() -> None:
    admission = new_admission()
    many = admission.reserve()
    many.begin_upload(1)
    busy = begin_work(admission, 4)
    many.begin_upload(8)
    busy.release()
    many.begin_work()
    assert admission.work.taken == 8


def test_work_without_free_slots_is_refused_and_everything_is_given_back() -> None:
    metrics = Metrics()
    admission = Admission(Settings(queue=4), metrics, Drain())
    with admission.reserve() as late:
        late.begin_upload(2)
        late.receive(1000)
        begin_work(admission, 4)
        assert "facepair_images_arriving 2.0" in metrics.show().decode()
        with pytest.raises(Problem):
            late.begin_work()
    assert "facepair_images_arriving 0.0" in metrics.show().decode()
    assert (admission.work.taken, admission.held.total) == (4, 0)


def test_repeated_upload_counts_take_the_largest() -> None:
    admission = new_admission()
    reservation = admission.reserve()
    for count in (2, 2, 3, 1):
        reservation.begin_upload(count)
    reservation.begin_work()
    assert admission.work.taken == 3


def test_the_deadline_is_that_of_the_work_without_the_upload() -> None:
    reservation = new_admission().reserve()
    reservation.begin_upload(1)
    assert reservation.deadline == inf
    before = time.perf_counter()
    reservation.begin_work()
    assert before + 30 <= reservation.deadline <= time.perf_counter() + 30


def test_a_lost_device_refuses_everything() -> None:
    drain = Drain()
    admission = new_admission(drain=drain)
    waiting = admission.reserve()
    waiting.begin_upload(1)
    drain.device_lost = True
    with pytest.raises(Problem) as uploading:
        admission.reserve().begin_upload(1)
    with pytest.raises(Problem) as working:
        waiting.begin_work()
    assert uploading.value.kind.code == working.value.kind.code == "device_lost"


def test_large_images_have_a_budget_and_small_ones_need_none() -> None:
    admission = new_admission()
    first, second, third = (begin_work(admission, 1) for _ in range(3))
    first.begin_large(1023)
    second.begin_large(1023)
    with third, pytest.raises(Problem, match="as many large images as it takes on") as caught:
        third.begin_large(1)
    assert caught.value.kind.code == "queue_full"
    begin_work(admission, 1).begin_large(0)
    first.release()
    begin_work(admission, 1).begin_large(1)
    assert admission.large_px.taken == 1024


def test_bytes_are_held_until_the_end_of_the_request() -> None:
    admission = new_admission(held_bytes=1024, max_request_bytes=1024)
    done = admission.reserve()
    done.begin_upload(1)
    done.receive(1024)
    done.begin_work()
    late = admission.reserve()
    late.begin_upload(1)
    with pytest.raises(Problem, match="as many bytes of uploads"):
        late.receive(1)
    done.release()
    late.receive(1024)
    assert admission.held.total == 1024


def test_an_upload_that_left_takes_no_more_bytes() -> None:
    admission = new_admission(held_bytes=1024, max_request_bytes=1024)
    slow, fast = admission.reserve(), admission.reserve()
    slow.receive(1000)
    slow.started -= 10
    fast.receive(1000)
    assert (slow.left, fast.left, admission.held.total) == (True, False, 1000)
    with pytest.raises(Problem):
        slow.receive(1)
