"""What is written, what is dropped, and that nobody waits for a reader."""

import json
import logging
import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from app import logs
from app.logs import DROPPED, DroppingHandler, QueueingHandler, _pieces, dropped_lines

PIPE_BYTES = 65536


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def record(message: str, **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "levelname": "INFO", "fields": fields})


def read(descriptor: int, enough: Callable[[str], bool]) -> list[dict[str, Any]]:
    """The lines up to when there are enough."""
    text = ""
    while not enough(text):
        text += os.read(descriptor, PIPE_BYTES).decode()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kind", [DroppingHandler, QueueingHandler])
def test_lines_are_written_whole(pipe: tuple[int, int], kind: type[DroppingHandler]) -> None:
    handler = kind(pipe[1])
    for number in range(5):
        handler.handle(record("long", number=number, text="x" * 9000))
    handler.flush()
    lines = read(pipe[0], lambda text: text.count("\n") == 5)
    assert [line["number"] for line in lines] == [0, 1, 2, 3, 4]
    assert handler.dropped == 0


def test_short_lines_are_in_one_piece_that_a_pipe_takes_whole() -> None:
    lines = [f"{number}" * 50 for number in range(10, 200)] + ["x" * 3 * select.PIPE_BUF, "end"]
    pieces = list(_pieces(lines))
    assert b"".join(pieces).decode().splitlines() == lines
    assert max(map(len, pieces)) <= select.PIPE_BUF
    short = pieces[: -(-100 * 190 // select.PIPE_BUF)]
    assert all(piece.endswith(b"\n") for piece in short)


def test_a_waiting_record_keeps_neither_arguments_nor_frames(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "GATHER_S", 0.2)  # for which the records wait
    handler, changing = QueueingHandler(pipe[1]), ["before"]
    handler.handle(logging.LogRecord("", logging.INFO, "", 0, "%s", (changing,), None))
    changing[0] = "after"
    seen = raise_and_log(handler)
    assert seen() is None
    lines = read(pipe[0], lambda text: text.count("\n") == 2)
    assert lines[0]["message"] == "['before']"
    assert "ValueError: cause" in lines[1]["exception"]


def raise_and_log(handler: logging.Handler) -> "weakref.ref[threading.Event]":
    """Logs an exception of a frame that has an object, and returns a reference to it that does not hold it."""
    held = threading.Event()
    try:
        raise ValueError("cause")
    except ValueError:
        handler.handle(logging.LogRecord("", logging.ERROR, "", 0, "failed", (), sys.exc_info()))
    return weakref.ref(held)


@pytest.mark.parametrize("kind", [DroppingHandler, QueueingHandler])
def test_lines_that_nobody_reads_are_dropped_and_counted(
    pipe: tuple[int, int], kind: type[DroppingHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LINES", 100)
    handler = kind(pipe[1])
    started = time.monotonic()
    for number in range(1000):
        handler.handle(record("line", number=number, text="x" * 900))
    assert time.monotonic() - started < 5
    assert handler.dropped > 500
    text = ""
    while said(text) < handler.dropped:
        text += os.read(pipe[0], PIPE_BYTES).decode()
        handler.handle(record("more"))
    assert said(text) == handler.dropped


def said(text: str) -> int:
    """How many lines were dropped, as the complete lines of a log say."""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return sum(line["lines"] for line in lines if line["message"] == DROPPED and line["level"] == "warning")


def test_the_end_waits_a_moment_for_a_log_that_nobody_reads(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FLUSH_S", 0.2)
    handler = QueueingHandler(pipe[1])
    for _ in range(100):
        handler.handle(record("x" * 4000))
    started = time.monotonic()
    handler.flush()
    assert 0.2 <= time.monotonic() - started < 5


def test_lines_for_which_the_disk_has_no_room_are_counted() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        handler = DroppingHandler(full)
        for _ in range(5):
            handler.handle(record("x"))
        assert handler.dropped == 5
    finally:
        os.close(full)


def test_a_reader_that_left_stops_nothing(pipe: tuple[int, int]) -> None:
    handler = QueueingHandler(pipe[1])
    os.close(pipe[0])
    for _ in range(100):
        handler.handle(record("x" * 4000))
    handler.flush()
    assert handler.dropped == 0


def test_dropped_lines_are_those_of_the_process(pipe: tuple[int, int]) -> None:
    handler = DroppingHandler(pipe[1])
    handler.dropped = 7
    logging.getLogger().addHandler(handler)
    try:
        assert dropped_lines() == 7
    finally:
        logging.getLogger().removeHandler(handler)
    assert dropped_lines() == 0
