"""Which answers without work are held, on a clock of the test's own."""

import pytest

from app.api.limits.pace import FREE_PER_S, HOLD_S, TICK_S, Pace, until_tick

pytestmark = pytest.mark.anyio

FREE = round(FREE_PER_S)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = Pace(clock=lambda: self.now)

    def take(self, count: int) -> list[float]:
        """For how long each of so many answers of one moment is held."""
        return [self.pace.take() for _ in range(count)]


def test_few_answers_are_free() -> None:
    assert Clock().take(FREE) == [0.0] * FREE


def test_further_ones_are_held_longer_and_longer() -> None:
    held = Clock().take(FREE + 1000)[FREE:]
    assert held[0] == 1 / FREE_PER_S
    assert held == sorted(held)
    assert held[-1] == HOLD_S


def test_an_answer_with_work_frees_one_without() -> None:
    clock = Clock()
    clock.take(FREE)
    for _ in range(3):
        clock.pace.note_work()
    assert clock.take(4) == [0.0] * 3 + [1 / FREE_PER_S]


def test_what_was_long_ago_does_not_count() -> None:
    clock = Clock()
    clock.take(10_000)
    clock.now = 10.0
    assert clock.take(FREE) == [0.0] * FREE


def test_a_client_that_waits_its_turn_is_not_held_for_others_of_before() -> None:
    clock = Clock()
    clock.take(10_000)
    clock.now = HOLD_S + 0.02
    assert clock.take(1) == [0.0]


def test_answers_that_are_held_are_due_together() -> None:
    for now in (7.001, 7.02, 7.049):
        assert now + until_tick(now, HOLD_S) == pytest.approx(7.0 + HOLD_S)
    assert until_tick(7.01, TICK_S / 2) == 0


async def test_an_answer_is_held_until_its_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("app.api.limits.pace.asyncio.sleep", sleep)
    clock = Clock()
    clock.take(10_000)
    clock.now = 0.03
    await clock.pace.hold()
    assert waited == [pytest.approx(until_tick(0.03, HOLD_S))]
    assert waited != [HOLD_S]
