"""What the transport under uvicorn's protocol sends, and when."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from app.server import transport as transports
from app.server.transport import SteadyTransport

pytestmark = pytest.mark.anyio

# A client must read so many between two looks at it.
LEAST_BYTES = round(transports.READ_BYTES_PER_S * transports.READ_CHECK_S)


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = self.aborted = self.half_closed = False
        self.unread = 0

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.aborted = self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def get_write_buffer_size(self) -> int:
        return self.unread


class Turns:
    """An event loop whose turns and timers the test takes itself, since a busy machine's timers are late."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((seconds, callback))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def wait(self, seconds: float) -> None:
        timers, self.timers = self.timers, []
        for due, callback in timers:
            assert due == seconds
            callback()


def joining(recorder: Recorder, lingers: bool = False, loop: Turns | None = None) -> SteadyTransport:
    used = cast("asyncio.AbstractEventLoop", loop or asyncio.get_running_loop())
    return SteadyTransport(cast("asyncio.Transport", recorder), used, lambda: lingers)


async def test_what_is_written_in_one_turn_is_sent_in_one_piece() -> None:
    recorder = Recorder()
    transport = joining(recorder)
    transport.write(b"head, ")
    transport.write(b"body")
    assert recorder.sent == []
    await asyncio.sleep(0)
    assert recorder.sent == [b"head, body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert recorder.sent == [b"head, body", b"next"]


async def test_what_was_written_is_sent_before_the_connection_is_closed() -> None:
    recorder = Recorder()
    transport = joining(recorder)
    transport.write(b"head, ")
    transport.write(b"body")
    transport.close()
    assert (recorder.sent, recorder.closed) == ([b"head, body"], True)
    await asyncio.sleep(0)
    assert recorder.sent == [b"head, body"]
    assert transport.is_closing()


async def test_a_lingering_connection_is_closed_in_one_direction() -> None:
    recorder = Recorder()
    transport = joining(recorder, lingers=True)
    transport.write(b"answer")
    transport.close()
    transport.close()
    assert (recorder.sent, recorder.half_closed, recorder.closed) == ([b"answer"], True, False)
    assert transport.is_closing()


@pytest.mark.parametrize(("taken", "aborted"), [(0, True), (LEAST_BYTES - 1, True), (LEAST_BYTES, False)])
def test_a_client_that_does_not_read_is_closed(taken: int, aborted: bool) -> None:
    recorder, loop = Recorder(), Turns()
    transport = joining(recorder, loop=loop)
    recorder.unread = 2 * LEAST_BYTES
    transport.write(bytes(2 * LEAST_BYTES))
    loop.turn()
    recorder.unread -= taken
    loop.wait(transports.READ_CHECK_S)
    assert recorder.aborted == aborted
    assert len(loop.timers) == (0 if aborted else 1)
    loop.wait(transports.READ_CHECK_S)
    assert recorder.aborted, "it has read nothing since"


def test_a_client_that_has_read_all_may_wait() -> None:
    recorder, loop = Recorder(), Turns()
    transport = joining(recorder, loop=loop)
    recorder.unread = 10
    transport.write(bytes(10))
    loop.turn()
    recorder.unread = 0
    loop.wait(transports.READ_CHECK_S)
    assert (recorder.aborted, loop.timers) == (False, [])


async def test_nothing_is_sent_after_the_connection_was_lost() -> None:
    recorder = Recorder()
    transport = joining(recorder)
    transport.write(b"late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.sent == []
