"""The bucket on a clock of the test's own."""

import pytest

from app.token_bucket import TokenBucket


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_one_second_s_worth_and_then_the_rate_holds() -> None:
    clock = Clock()
    bucket = TokenBucket(10, clock)
    assert [bucket.try_take() for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now = 0.25
    assert [bucket.try_take() for _ in range(3)] == [True, True, False]
    clock.now = 100
    assert [bucket.try_take() for _ in range(12)] == [True] * 10 + [False] * 2


def test_what_is_borrowed_is_waited_for() -> None:
    bucket = TokenBucket(10, Clock())
    waits = [bucket.borrow(0.3) for _ in range(20)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:13] == pytest.approx([0.1, 0.2, 0.3])
    assert waits[13:] == [0.3] * 7


def test_a_given_token_can_be_taken() -> None:
    bucket = TokenBucket(1, Clock())
    assert [bucket.try_take(), bucket.try_take()] == [True, False]
    bucket.give()
    assert bucket.try_take()
