"""What the transport under uvicorn's protocol sends, and when."""

import asyncio
from typing import cast

import pytest

from app.server.protocol import JoiningTransport

pytestmark = pytest.mark.anyio


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def joining(recorder: Recorder) -> JoiningTransport:
    return JoiningTransport(cast("asyncio.Transport", recorder), asyncio.get_running_loop())


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


async def test_nothing_is_sent_after_the_connection_was_lost() -> None:
    recorder = Recorder()
    transport = joining(recorder)
    transport.write(b"late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.sent == []
