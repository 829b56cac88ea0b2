"""`python -m benchmarks.overload`: requests at two, five and ten times the service's peak rate."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.client import load
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.http import WARM_UP, drawn_requests
from benchmarks.open_loop import NO_ANSWER, Answer, OpenLoop
from benchmarks.record import Figures, Row
from benchmarks.service import HOST, serving
from model.checkpoint import load as load_checkpoint

HEALTH = f"GET /health/live HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
HEALTH_PER_S = 5.0
UNLOADED = 0.2
AFTER = 0.5
WINDOW_S = 0.5
# The service is back to normal in the first window in which all requests are accepted, half of them within this
# multiple of the unloaded median.
NORMAL = 2.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long each part lasts. `times` has multiples of the peak rate, each with its length in seconds."""

    peak_s: float = 10.0
    peak_connections: int = 16
    unloaded_s: float = 20.0
    after_s: float = 10.0
    times: tuple[tuple[float, float], ...] = ((2.0, 20.0), (5.0, 10.0), (10.0, 10.0))


@dataclass(kw_only=True)
class Overloaded:
    """One overload: its multiple of the peak rate, its length, its responses, the client's processor time, and the
    responses of the time after it.
    """

    times: float
    seconds: float
    answers: list[Answer]
    client_cpu_s: float
    after: list[Answer]


@dataclass(kw_only=True)
class Measured:
    """The peak in pairs per second, before and after; the responses without load, under overload, and of health."""

    peaks: list[float] = field(default_factory=list)
    peak_client_cores: list[float] = field(default_factory=list)
    unloaded: list[Answer] = field(default_factory=list)
    overloads: list[Overloaded] = field(default_factory=list)
    health: list[Answer] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("overload", "benchmarks.overload", "Sends /verify more than it can do.", rounds=None)
    add_weights(parser)
    parser.add_argument("--max-wait-s", type=float, help="longest expected wait, if not the service's default")
    return run_benchmark(parser, arguments, _measure)


async def measure_overload(weights: Path, device: str, bounds: Bounds, *flags: str) -> Measured:
    """Starts the service, measures its peak, and sends more, with health requests all the time."""
    requests = drawn_requests()
    measured = Measured()
    with serving(weights, device, *flags) as service:
        port = service.port
        await load(port, requests, connections=1, most=WARM_UP, seconds=bounds.peak_s)
        stop = asyncio.Event()
        watching = asyncio.create_task(_watch(port, stop))
        await _measure_peak(measured, port, requests, bounds)
        client = OpenLoop(port)
        measured.unloaded = await client.send(requests, UNLOADED * measured.peaks[0], bounds.unloaded_s)
        for times, seconds in bounds.times:
            cpu_before = time.process_time()
            answers = await client.send(requests, times * measured.peaks[0], seconds)
            cpu_s = time.process_time() - cpu_before
            after = await client.send(requests, AFTER * measured.peaks[0], bounds.after_s)
            one = Overloaded(times=times, seconds=seconds, answers=answers, client_cpu_s=cpu_s, after=after)
            measured.overloads.append(one)
        await _measure_peak(measured, port, requests, bounds)
        stop.set()
        measured.health = await watching
        client.close()
    return measured


async def _measure_peak(measured: Measured, port: int, requests: Sequence[bytes], bounds: Bounds) -> None:
    found = await load(port, requests, bounds.peak_connections, sys.maxsize, bounds.peak_s)
    measured.peaks.append(len(found.latencies_s) / found.elapsed_s)
    measured.peak_client_cores.append(found.client_cpu_s / found.elapsed_s)


async def _watch(port: int, stop: asyncio.Event) -> list[Answer]:
    """Requests health at a fixed rate, whether or not earlier requests were answered, until `stop` is set."""
    client, asked = OpenLoop(port), []
    while not stop.is_set():
        asked.append(asyncio.create_task(client.send([HEALTH], HEALTH_PER_S, 1 / HEALTH_PER_S)))
        await asyncio.sleep(1 / HEALTH_PER_S)
    answers = [answer for each in asked for answer in await each]
    client.close()
    return answers


def overload_figures(measured: Measured) -> Figures:
    """The table has a row for each overload."""
    unloaded = _ms(measured.unloaded)
    return Figures(
        summary={
            "peak_pairs_per_s": measured.peaks[0],
            "peak_after_pairs_per_s": measured.peaks[-1],
            "peak_client_cores": max(measured.peak_client_cores),
            "unloaded_p50_ms": float(np.percentile(unloaded, 50)),
            "unloaded_p99_ms": float(np.percentile(unloaded, 99)),
            "health_asked": len(measured.health),
            "health_not_200": sum(answer.status != 200 for answer in measured.health),
            "health_worst_ms": 1000 * max(answer.latency_s for answer in measured.health),
        },
        table=[_row(one, measured) for one in measured.overloads],
    )


def _row(one: Overloaded, measured: Measured) -> Row:
    unloaded = _ms(measured.unloaded)
    accepted = [answer for answer in one.answers if answer.status == 200]
    refused = [answer for answer in one.answers if answer.status == 429]
    statuses = Counter(answer.status for answer in one.answers)
    in_time = sum(answer.at_s + answer.latency_s <= one.seconds for answer in accepted)
    accepted_p99 = _percentile(accepted, 99)
    return {
        "times_peak": one.times,
        "sent": len(one.answers),
        "accepted": len(accepted),
        "refused": len(refused),
        "no_answer": statuses[NO_ANSWER],
        "others": len(one.answers) - len(accepted) - len(refused) - statuses[NO_ANSWER],
        "no_retry_after": sum(answer.retry_after_s is None for answer in refused),
        "goodput_to_peak": in_time / one.seconds / (sum(measured.peaks) / len(measured.peaks)),
        "client_cores": one.client_cpu_s / one.seconds,
        "accepted_p50_ms": _percentile(accepted, 50),
        "accepted_p99_ms": accepted_p99,
        "accepted_p99_to_unloaded": accepted_p99 and accepted_p99 / float(np.percentile(unloaded, 99)),
        "refused_p99_ms": _percentile(refused, 99),
        "normal_after_s": normal_after_s(one.after, float(np.percentile(unloaded, 50)) / 1000),
    }


def normal_after_s(answers: Sequence[Answer], unloaded_s: float) -> float | None:
    """The end of the first window in which the service is back to normal, or None."""
    last = max(answer.at_s for answer in answers)
    for number in range(int(last / WINDOW_S) + 1):
        window = [a for a in answers if number * WINDOW_S <= a.at_s < (number + 1) * WINDOW_S]
        usual = window and np.median([a.latency_s for a in window]) <= NORMAL * unloaded_s
        if usual and all(a.status == 200 for a in window):
            return (number + 1) * WINDOW_S
    return None


def _ms(answers: Sequence[Answer]) -> list[float]:
    return [1000 * answer.latency_s for answer in answers if answer.status == 200]


def _percentile(answers: Sequence[Answer], share: float) -> float | None:
    """In milliseconds, None without answers."""
    return float(np.percentile([1000 * answer.latency_s for answer in answers], share)) if answers else None


def _measure(options: argparse.Namespace) -> Figures:
    header = load_checkpoint(options.weights).header
    flags = ("--max-wait-s", str(options.max_wait_s)) if options.max_wait_s else ()
    figures = overload_figures(uvloop.run(measure_overload(options.weights, options.device, Bounds(), *flags)))
    model: Row = {"model": header.name, "embedding_sha256": header.embedding_sha256, "flags": " ".join(flags)}
    return Figures(summary={**model, **figures.summary}, table=figures.table)


if __name__ == "__main__":
    sys.exit(main())
