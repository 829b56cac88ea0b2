"""The sender that does not wait, what is made of its answers, and a real service that is sent too much."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from benchmarks import overload
from benchmarks.open_loop import NO_ANSWER, Answer, OpenLoop
from benchmarks.overload import Bounds, Measured, Overloaded, normal_after_s, overload_figures

Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def answer(at_s: float, latency_s: float, status: int = 200) -> Answer:
    return Answer(at_s=at_s, latency_s=latency_s, status=status, retry_after_s=1 if status == 429 else None)


async def send_to(respond: Respond, count: int, per_s: float) -> list[Answer]:
    """Answers of a server that does as it is told."""
    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        client = OpenLoop(server.sockets[0].getsockname()[1])
        answers = await client.send([REQUEST], per_s, count / per_s)
        client.close()
        return answers


def test_requests_arrive_whether_or_not_the_earlier_ones_were_answered() -> None:
    waiting: list[asyncio.Event] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        event = asyncio.Event()
        waiting.append(event)
        if len(waiting) == 5:
            for each in waiting:
                each.set()
        await event.wait()
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    answers = asyncio.run(send_to(respond, 5, 100))
    assert len(waiting) == 5, "a client that waited would never have sent the fifth"
    assert [(each.status, each.retry_after_s) for each in answers] == [(429, 1)] * 5
    assert [each.at_s for each in answers] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert answers[0].latency_s >= answers[-1].latency_s


def test_connections_are_used_again_and_a_closed_one_is_no_answer() -> None:
    opened: list[int] = []
    left: list[int] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(0)
        with suppress(asyncio.IncompleteReadError), closing(writer):
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        left.append(0)

    async def one_by_one() -> list[Answer]:
        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            client = OpenLoop(server.sockets[0].getsockname()[1])
            answers = [(await client.send([REQUEST], 1e6, 1e-6))[0] for _ in range(5)]
            client.close()
            while len(left) < len(opened):
                await asyncio.sleep(0)
            return answers

    assert [each.status for each in asyncio.run(one_by_one())] == [200, 200, 200, NO_ANSWER, 200]
    assert len(opened) == 2


def test_nobody_listening_is_no_answer() -> None:
    async def ask() -> list[Answer]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await OpenLoop(port).send([REQUEST], 100, 0.02)

    assert [each.status for each in asyncio.run(ask())] == [NO_ANSWER] * 2


def test_normal_is_the_first_window_in_which_all_is_accepted_and_as_fast_as_before() -> None:
    late = [answer(0.1 * i, 0.5) for i in range(5)]
    refused = [answer(0.5 + 0.1 * i, 0.01, 429 if i == 2 else 200) for i in range(5)]
    usual = [answer(1.0 + 0.1 * i, 0.015) for i in range(5)]
    assert normal_after_s(late + refused + usual, 0.01) == 1.5
    assert normal_after_s(late + refused, 0.01) is None


def test_overload_figures_from_known_answers() -> None:
    sent = [answer(0, 0.02), answer(0.5, 0.04), answer(1, 0.001, 429), answer(1, 0.003, 429), answer(1.5, 0.6)]
    sent += [
        answer(1.9, 60, NO_ANSWER),
        answer(1.9, 0.1, 500),
        Answer(at_s=1, latency_s=1, status=429, retry_after_s=None),
    ]
    measured = Measured(
        peaks=[1, 3],
        peak_client_cores=[0.1, 0.3],
        unloaded=[answer(0, 0.01), answer(1, 0.03)],
        overloads=[Overloaded(times=2, seconds=2, answers=sent, client_cpu_s=0.4, after=[answer(0, 0.03)])],
        health=[answer(0, 0.001), answer(1, 0.2, 503)],
    )
    figures = overload_figures(measured)
    assert figures.summary["unloaded_p50_ms"] == pytest.approx(20)
    assert (figures.summary["health_asked"], figures.summary["health_not_200"]) == (2, 1)
    assert figures.summary["health_worst_ms"] == pytest.approx(200)
    [row] = figures.table
    assert (row["sent"], row["accepted"], row["refused"], row["no_answer"], row["others"]) == (8, 3, 3, 1, 1)
    assert row["no_retry_after"] == 1
    assert row["accepted_p50_ms"] == pytest.approx(40)
    assert row["goodput_to_peak"] == pytest.approx(0.5), "two of the accepted came within the two seconds"
    assert row["normal_after_s"] == 0.5
    assert figures.summary["peak_client_cores"] == 0.3
    assert row["client_cores"] == pytest.approx(0.2)


def test_an_overload_in_which_nothing_was_accepted_has_no_latencies() -> None:
    refused = [answer(0, 0.01, 429), answer(1, 0.01, 429)]
    measured = Measured(
        peaks=[1, 1],
        peak_client_cores=[0.1],
        unloaded=[answer(0, 0.01)],
        overloads=[Overloaded(times=2, seconds=2, answers=refused, client_cpu_s=0.4, after=refused)],
        health=[answer(0, 0.001)],
    )
    [row] = overload_figures(measured).table
    assert row["goodput_to_peak"] == 0
    assert [row[name] for name in ("accepted_p99_ms", "accepted_p99_to_unloaded", "normal_after_s")] == [None] * 3


def test_a_real_service_refuses_what_is_too_much_and_answers_all_of_it(checkpoint_path: Path) -> None:
    bounds = Bounds(peak_s=0.5, peak_connections=2, unloaded_s=1, after_s=1, times=((4.0, 1.0),))
    measured = asyncio.run(overload.measure_overload(checkpoint_path, "cpu", bounds, "--queue", "4"))
    [row] = overload_figures(measured).table
    assert [row[name] for name in ("no_answer", "others", "no_retry_after")] == [0, 0, 0]
    assert row["accepted"] != 0
    assert row["refused"] != 0
    assert all(each.status == 200 for each in measured.health)
