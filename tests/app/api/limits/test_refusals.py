"""Which refusals are held, on a clock of the test's own."""

import asyncio
from unittest.mock import patch

from app.api.limits.refusals import FEW, HOLD_S, Refusals


class Held:
    """Refusals, and how long each was held."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds: list[float] = []
        self.refusals = Refusals(clock=lambda: self.now)

    def refuse(self, count: int) -> list[float]:
        """Refuses so many at one moment; for how long each was held."""
        waits: list[float] = []

        async def note(seconds: float) -> None:
            waits.append(seconds)

        async def hold() -> None:
            waits_before = len(waits)
            await self.refusals.hold()
            if len(waits) == waits_before:
                waits.append(0.0)

        with patch("app.api.limits.refusals.asyncio.sleep", note):
            for _ in range(count):
                asyncio.run(hold())
        return waits


def test_few_refusals_are_answered_at_once() -> None:
    assert Held().refuse(FEW) == [0.0] * FEW


def test_refusals_are_held_once_they_outnumber_answers() -> None:
    held = Held()
    for _ in range(20):
        held.refusals.note_answer()
    assert held.refuse(22) == [0.0] * 20 + [HOLD_S] * 2


def test_what_was_long_ago_does_not_count() -> None:
    held = Held()
    held.refuse(100)
    held.now = 10.0
    assert held.refuse(1) == [0.0]
