"""The benchmark of the service, on a real one; no test looks at how fast it was."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import http
from benchmarks.bare import PairRate
from benchmarks.client import Load, load
from benchmarks.service import ServiceError, serving
from benchmarks.stages import StageCosts


def test_http_figures_from_known_latencies(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(latencies_s: list[float], elapsed_s: float) -> Load:
        return Load(latencies_s=latencies_s, elapsed_s=elapsed_s, client_cpu_s=0.001 * len(latencies_s))

    bare = [PairRate(pairs_per_s=10, product_gflop_per_s=1), PairRate(pairs_per_s=20, product_gflop_per_s=3)]
    loads = [one([i / 1000 for i in range(51)], 10.2), one([i / 1000 for i in range(51, 101)], 2.5)]
    stages = [StageCosts(decode_ms=2, face_ms=3, network_ms=5), StageCosts(decode_ms=2, face_ms=3, network_ms=15)]
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    figures = http.http_figures(
        http.Measured(
            bare=bare, stages=stages, loads={4: loads}, service_cpu_s={4: [0.51, 1.25]}, loop_cpu_s={4: [0.051, 0.15]}
        )
    )
    assert figures.summary == {
        "rounds": 2, "bare_pairs_per_s": 15, "product_gflop_per_s": 2,
        "decode_core_ms": 2, "face_core_ms": 3, "network_core_ms": 10,
    }  # fmt: skip
    [row] = figures.table
    assert (row["connections"], row["requests"], row["pairs_per_s"]) == (4, 101, 12.5)
    assert (row["p50_ms"], row["p90_ms"], row["p99_ms"]) == pytest.approx((50, 90, 99))
    assert (row["ratio_to_bare"], row["ratio_to_bare_low"], row["ratio_to_bare_high"]) == (0.75, 0.5, 1.0)
    assert (row["client_core_ms"], row["service_core_ms"], row["beside_stages_core_ms"]) == pytest.approx(
        (1, 17.5, 2.5)
    )
    assert row["loop_core_ms"] == pytest.approx(2)
    # 5 pairs a second at 11 ms each, 20 at 21 ms, of two cores
    assert (row["ratio_to_cores_low"], row["ratio_to_cores_high"]) == pytest.approx((0.0275, 0.21))


def test_a_real_service_answers_every_request_of_a_load(checkpoint_path: Path) -> None:
    bounds = http.Bounds(connections=(1, 3), rounds=1, requests=7, seconds=60, bare_rounds=1, stage_seconds=0.1)
    measured = asyncio.run(http.measure_service(checkpoint_path, "cpu", bounds))
    assert [len(one.latencies_s) for loads in measured.loads.values() for one in loads] == [7, 7]
    assert len(measured.bare) == 1
    figures = http.http_figures(measured)
    assert [row["connections"] for row in figures.table] == [1, 3]
    unbounded = {"beside_stages_core_ms", "service_core_ms"}  # of so few requests the kernel's clock may show none
    values = [value for row in figures.table for name, value in row.items() if name not in unbounded]
    assert all(isinstance(value, int | float) and value > 0 for value in values)


def test_a_load_keeps_its_connections_and_ends_at_either_bound() -> None:
    opened: list[int] = []
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(0)
        number = len(opened) - 1
        while request := await reader.read(1000):
            opened[number] += 1
            received.append(request)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async def exchange() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            counted = await load(port, [b"a", b"b"], connections=3, most=9, seconds=60)
            assert len(counted.latencies_s) == sum(opened) == 9
            assert (len(opened), min(opened) > 0) == (3, True)
            assert sorted(received) == [b"a"] * 5 + [b"b"] * 4
            timed = await load(port, [b"a"], connections=3, most=9, seconds=0)
            assert timed.latencies_s == []

    asyncio.run(exchange())


def test_a_refused_request_ends_the_load_with_the_reason() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 415 Unsupported Media Type\r\ncontent-length: 17\r\n\r\nunsupported_image")
        writer.close()

    async def exchange() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            await load(server.sockets[0].getsockname()[1], [b"a"], connections=2, most=4, seconds=60)

    with pytest.raises(ServiceError, match="the service answered unsupported_image"):
        asyncio.run(exchange())


def test_a_service_that_does_not_start_says_why(checkpoint_path: Path) -> None:
    with pytest.raises(ServiceError, match="FACEPAIR_QUEUE"), serving(checkpoint_path, "cpu", "--queue", "0"):
        pass
