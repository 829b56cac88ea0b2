"""What is let in, what is worked on, and what is given back: the counts alone, without a server."""

import time
from math import inf

import pytest

from app.api.admission import Admission, Reservation
from app.api.problems import Problem
from app.lifecycle import Drain
from app.metrics import Metrics


def new_admission(uploads: int = 8, work: int = 4, drain: Drain | None = None) -> Admission:
    return Admission(uploads, work, 100, 30, Metrics(), drain or Drain())


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
    for _ in range(4):
        admission.reserve().begin_upload(2)
    with pytest.raises(Problem):
        admission.reserve().begin_upload(1)
    admission = new_admission()
    admission.reserve().begin_upload(4)
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


def test_further_images_of_an_upload_need_no_work_slot_before_its_end() -> None:
    admission = new_admission()
    many = admission.reserve()
    many.begin_upload(1)
    busy = begin_work(admission, 4)
    many.begin_upload(8)
    busy.release()
    many.begin_work()
    assert (admission.uploads.taken, admission.work.taken) == (0, 8)


def test_an_upload_that_grows_is_refused_where_others_have_every_slot() -> None:
    admission = new_admission()
    growing = admission.reserve()
    growing.begin_upload(1)
    for _ in range(4):
        admission.reserve().begin_upload(2)
    assert_refused(growing, 2)


def test_work_without_free_slots_is_refused_and_upload_slots_are_released() -> None:
    admission = new_admission()
    with admission.reserve() as late:
        late.begin_upload(2)
        begin_work(admission, 4)
        with pytest.raises(Problem):
            late.begin_work()
    assert admission.uploads.taken == 0
    assert admission.work.taken == 4


def test_repeated_upload_counts_take_the_largest() -> None:
    admission = new_admission()
    reservation = admission.reserve()
    for count in (2, 2, 3, 1):
        reservation.begin_upload(count)
    assert admission.uploads.taken == 3
    reservation.begin_work()
    assert (admission.uploads.taken, admission.work.taken) == (0, 3)


def test_a_request_may_exceed_the_slots() -> None:
    admission = new_admission()
    alone = admission.reserve()
    for count in range(1, 13):
        alone.begin_upload(count)
    assert_refused(admission.reserve(), 1)
    alone.begin_work()
    assert_refused(admission.reserve(), 1)


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
    first.begin_large(99)
    second.begin_large(99)
    with third, pytest.raises(Problem, match="as many large images as it takes on") as caught:
        third.begin_large(1)
    assert caught.value.kind.code == "queue_full"
    begin_work(admission, 1).begin_large(0)
    first.release()
    begin_work(admission, 1).begin_large(1)
    assert admission.large_px.taken == 100
