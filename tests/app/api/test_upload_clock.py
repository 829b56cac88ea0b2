"""An upload has a clock of its own: a pace that it must keep, and a limit."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.api.bodies.upload_clock import UploadPace, in_pace
from app.api.problems import Problem

pytestmark = pytest.mark.anyio

PACE = UploadPace(limit_s=1.0, grace_s=0.2, min_bytes_per_s=1000)


async def trickle(size: int, every_s: float, count: int) -> AsyncGenerator[bytes, None]:
    for _ in range(count):
        yield bytes(size)
        await asyncio.sleep(every_s)


async def taken_of(chunks: AsyncGenerator[bytes, None]) -> int:
    return sum([len(chunk) async for chunk in in_pace(chunks, PACE)])


@pytest.mark.parametrize(("taken", "due_s"), [(0, 10), (16_384 * 10, 10), (16_384 * 36, 36), (10**9, 180)])
def test_an_upload_that_keeps_the_pace_is_due_later(taken: int, due_s: float) -> None:
    assert UploadPace(limit_s=180).due_s(taken) == due_s


async def test_steady_progress_is_enough_beyond_the_grace() -> None:
    assert await taken_of(trickle(100, 0.05, 10)) == 1000  # half a second, at twice the pace


async def test_a_slow_upload_ends_after_the_grace() -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(Problem, match="KiB a second on average") as caught:
        await taken_of(trickle(10, 0.05, 100))
    assert caught.value.kind.code == "deadline_passed"
    assert asyncio.get_running_loop().time() - started >= PACE.grace_s


async def test_a_stalled_upload_ends_when_its_average_has_fallen() -> None:
    async def stalling() -> AsyncGenerator[bytes, None]:
        yield bytes(500)
        await asyncio.Event().wait()

    started = asyncio.get_running_loop().time()
    with pytest.raises(Problem, match="on average"):
        await taken_of(stalling())
    assert asyncio.get_running_loop().time() - started >= 0.5


async def test_the_fastest_upload_has_a_limit() -> None:
    with pytest.raises(Problem, match="did not arrive within 1 s"):
        await taken_of(trickle(10_000, 0.05, 100))
