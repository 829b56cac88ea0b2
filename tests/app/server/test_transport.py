"""What the transport under uvicorn's protocol sends, and when."""

import asyncio
from typing import cast

import pytest

from app.server import transport as transports
from app.server.transport import SteadyTransport

pytestmark = pytest.mark.anyio


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


def joining(recorder: Recorder, lingers: bool = False) -> SteadyTransport:
    return SteadyTransport(cast("asyncio.Transport", recorder), asyncio.get_running_loop(), lambda: lingers)


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


@pytest.mark.parametrize(("taken", "aborted"), [(0, True), (100, True), (10_000, False)])
async def test_a_client_that_does_not_read_is_closed(
    monkeypatch: pytest.MonkeyPatch, taken: int, aborted: bool
) -> None:
    monkeypatch.setattr(transports, "READ_CHECK_S", 0.05)
    monkeypatch.setattr(transports, "READ_BYTES_PER_S", 50_000)
    recorder = Recorder()
    recorder.unread = 100_000
    transport = joining(recorder)
    transport.write(bytes(100_000))
    await asyncio.sleep(0.01)
    recorder.unread -= taken
    await asyncio.sleep(0.06)
    assert recorder.aborted == aborted
    transport.lost()


async def test_a_client_that_has_read_all_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "READ_CHECK_S", 0.02)
    recorder = Recorder()
    recorder.unread = 10
    transport = joining(recorder)
    transport.write(bytes(10))
    await asyncio.sleep(0)
    recorder.unread = 0
    await asyncio.sleep(0.1)
    assert not recorder.aborted


async def test_nothing_is_sent_after_the_connection_was_lost() -> None:
    recorder = Recorder()
    transport = joining(recorder)
    transport.write(b"late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.sent == []
