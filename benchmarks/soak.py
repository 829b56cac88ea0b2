"""`python -m benchmarks.soak`: a service among clients that leave, hostile images and probes, for an hour.

Clients verify drawn people, others send damaged images to /detect, others leave in the middle of a request, and one
asks all health routes. Nothing may grow: the record has the memory, the descriptors and the threads of all processes,
every status that came, and why decoders ended.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import ANSWER_S, BOUNDARY, exchange, verify_request
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.hostile import hostile_files
from benchmarks.processes import family
from benchmarks.record import Figures, Row
from benchmarks.service import HOST, Serving, serving
from tests.drawing import encode
from tests.faces import head_at, scene
from training.commands.options import positive

ROUTES = ("/health/live", "/health/ready", "/info", "/metrics", "/openapi.json")
PROBE_S, SAMPLE_S = 1.0, 10.0
# What Python, its libraries and the allocator take in the first minutes is not growth.
WARM_SHARE = 0.1
MIB = 2**20


@dataclass(kw_only=True)
class Tally:
    """What a kind of client met: statuses, and connections that broke."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All processes of the service at a moment, `at_s` after the beginning."""

    at_s: float
    memory_bytes: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, service: Serving, at_s: float) -> "Sample":
        """As the system sees them."""
        pids = family(service.pid)
        return cls(
            at_s=at_s,
            memory_bytes=service.own_bytes(),
            descriptors=sum(_entries(pid, "fd") for pid in pids),
            threads=sum(_entries(pid, "task") for pid in pids),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("soak", "benchmarks.soak", __doc__ or "", rounds=None)
    parser.add_argument("--seconds", type=positive, default=3600, help="how long")
    parser.add_argument("--hostile", type=positive, help="end after so many hostile images instead")
    parser.add_argument("--attackers", type=positive, default=2, help="connections that send hostile images")
    parser.add_argument("--pause-ms", type=int, default=20, help="of each client between its requests")
    add_weights(parser)
    return run_benchmark(parser, arguments, _measure)


class Soak:
    """The clients of one run."""

    def __init__(self, port: int, seconds: float, hostile: int | None, pause_s: float) -> None:
        self.tallies = {name: Tally() for name in ("verify", "hostile", "leave", "probe")}
        self._port = port
        self._end = time.perf_counter() + seconds
        self._files = hostile_files()
        self._left = hostile
        self._pause_s = pause_s

    @property
    def over(self) -> bool:
        """Whether to send nothing more."""
        return time.perf_counter() >= self._end or self._left == 0

    async def verify(self) -> None:
        """Two photographs of one person, sent again when the service is full."""
        images = [encode(scene(head_at(person)), "JPEG") for person in (0, 4)]
        await self._repeat("verify", lambda: verify_request(*images))

    async def attack(self) -> None:
        """The next hostile image."""

        def request() -> bytes:
            if self._left is not None:
                self._left = max(0, self._left - 1)
            return detect_request(next(self._files))

        await self._repeat("hostile", request)

    async def leave(self) -> None:
        """A part of a request, or a whole one whose answer nobody awaits."""
        draws = random.Random(0)
        data = verify_request(*[encode(scene(head_at(0)), "JPEG")] * 2)
        while not self.over:
            _, writer = await asyncio.open_connection(HOST, self._port)
            writer.write(data[: draws.choice([len(data), draws.randrange(len(data))])])
            await asyncio.sleep(draws.uniform(0, 0.05))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.tallies["leave"].statuses["left"] += 1
            await asyncio.sleep(self._pause_s)

    async def probe(self) -> None:
        """Each route that reports something, every second."""
        for route in _forever(ROUTES):
            if self.over:
                return
            head = f"GET {route} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
            await self._ask("probe", [head])
            await asyncio.sleep(PROBE_S / len(ROUTES))

    async def _repeat(self, name: str, request: Callable[[], bytes]) -> None:
        while not self.over:
            await self._ask(name, iter(request, None))

    async def _ask(self, name: str, requests: Iterable[bytes]) -> None:
        """Requests over one connection, until it ends."""
        tally = self.tallies[name]
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            for request in requests:
                sent = time.perf_counter()
                async with asyncio.timeout(ANSWER_S):
                    answer = await exchange(reader, writer, request)
                tally.statuses[str(answer.status)] += 1
                tally.latencies_s.append(time.perf_counter() - sent)
                await asyncio.sleep(float(answer.headers.get(b"retry-after", self._pause_s)))
                if self.over or answer.headers.get(b"connection") == b"close":
                    return
        except (OSError, EOFError, TimeoutError) as error:
            tally.statuses[type(error).__name__] += 1
        finally:
            writer.close()


def detect_request(image: bytes) -> bytes:
    """All bytes of a POST to /detect with one file."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n'.encode()
        + image
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    head = (
        f"POST /detect HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def reasons_of_ends(pid: int) -> Counter[str]:
    """Why decoders ended, by the log of a service that still runs."""
    lines = Path(f"/proc/{pid}/fd/2").read_text(errors="replace").splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    return Counter(each["reason"] for each in messages if each["message"] == "decoder ended")


def _forever(routes: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from routes


def _entries(pid: int, folder: str) -> int:
    """Of a folder of a process in /proc; 0 if it has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/{folder}"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


async def _sample(service: Serving, soak: Soak, samples: list[Sample]) -> None:
    started = time.perf_counter()
    while not soak.over:
        samples.append(Sample.of(service, time.perf_counter() - started))
        await asyncio.sleep(SAMPLE_S)


async def _run(service: Serving, soak: Soak, attackers: int) -> list[Sample]:
    samples: list[Sample] = []
    clients: list[Coroutine[object, object, None]] = [
        soak.verify(),
        soak.verify(),
        *(soak.attack() for _ in range(attackers)),
    ]
    await asyncio.gather(*clients, soak.leave(), soak.probe(), _sample(service, soak, samples))
    samples.append(Sample.of(service, samples[-1].at_s + SAMPLE_S))
    return samples


def soak_figures(samples: list[Sample], tallies: dict[str, Tally], ended: Counter[str]) -> Figures:
    """The table has a row for each tenth of the time."""
    warm = samples[int(WARM_SHARE * len(samples)) :]
    statuses = {
        f"{name}_{status}": count for name, tally in tallies.items() for status, count in tally.statuses.items()
    }
    verify_s = sorted(tallies["verify"].latencies_s)
    summary: Row = {
        "seconds": samples[-1].at_s,
        **dict(sorted(statuses.items())),
        "service_errors": sum(count for name, count in statuses.items() if name.rpartition("_")[2].startswith("5")),
        "verify_p50_ms": 1000 * verify_s[len(verify_s) // 2],
        "verify_p99_ms": 1000 * verify_s[len(verify_s) * 99 // 100],
        **{f"decoders ended: {reason}": count for reason, count in sorted(ended.items())},
        "memory_growth_mib": (warm[-1].memory_bytes - warm[0].memory_bytes) / MIB,
        "descriptor_growth": warm[-1].descriptors - warm[0].descriptors,
        "thread_growth": warm[-1].threads - warm[0].threads,
    }
    rows = [samples[int(share * (len(samples) - 1) / 10)] for share in range(11)]
    table: list[Row] = [
        {
            "at_s": row.at_s,
            "memory_mib": row.memory_bytes / MIB,
            "descriptors": row.descriptors,
            "threads": row.threads,
        }
        for row in rows
    ]
    return Figures(summary=summary, table=table)


def _measure(options: argparse.Namespace) -> Figures:
    with serving(options.weights, options.device) as service:
        soak = Soak(service.port, options.seconds, options.hostile, options.pause_ms / 1000)
        samples = asyncio.run(_run(service, soak, options.attackers))
        return soak_figures(samples, soak.tallies, reasons_of_ends(service.pid))


if __name__ == "__main__":
    sys.exit(main())
