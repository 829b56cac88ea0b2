"""`python -m benchmarks.siege`: attacks on a real service, and what a good client sees before, during and after."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.http import drawn_requests
from benchmarks.record import Figures
from benchmarks.record import Row as Line
from benchmarks.service import ServiceError, Serving, serving
from benchmarks.siege.attacks import ATTACKS
from benchmarks.siege.balancer import balancing, find_haproxy
from benchmarks.siege.floods import unread_log
from benchmarks.siege.good_client import GoodClient, Seen
from benchmarks.siege.log_reader import LogReader
from benchmarks.siege.targets import Attacker, Counts, Row, Target
from model.checkpoint import load as load_checkpoint
from training.commands.options import positive

MIB = 2**20
# The attack begins so long before the client's requests are counted as those during it.
LEAD_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long the good client sends before, during and after an attack, and how often."""

    before_s: float = 3.0
    during_s: float = 8.0
    after_s: float = 3.0
    per_s: float = 8.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One attack: what the good client saw, what the attacker counted and took, and the service's memory after it."""

    row: Row
    before: Seen
    during: Seen
    after: Seen
    counts: Counts
    attacker_cores: float
    own_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("siege", "benchmarks.siege", "Attacks a real service beside a good client.", rounds=None)
    add_weights(parser)
    names = [row.name.replace(" ", "-") for row in ATTACKS]
    parser.add_argument("--attacks", nargs="+", choices=names, default=names, metavar="NAME", help="which of the list")
    parser.add_argument("--seconds", type=positive, default=round(Bounds.during_s), help="how long each attack lasts")
    return run_benchmark(parser, arguments, _measure)


async def besiege(weights: Path, device: str, rows: Sequence[Row], bounds: Bounds) -> list[Result]:
    """Attacks one service with one attack after the other. Raises ServiceError if it ends."""
    log = LogReader()
    with ExitStack() as stack:
        stack.callback(log.close)
        service = stack.enter_context(serving(weights, device, log_to=log.writing))
        ports = {"service": service.port}
        if any(row.door == "balancer" for row in rows):
            haproxy = find_haproxy()
            if haproxy is None:
                raise ServiceError("haproxy is not installed: apt-get install haproxy, or choose other --attacks")
            ports["balancer"] = stack.enter_context(balancing(haproxy, service.port))
        results = []
        for row in rows:
            results.append(await _attack(row, service, ports[row.door], log, bounds))
            print(f"{row.name}: before {results[-1].before}, during {results[-1].during}", file=sys.stderr)
            if not service.is_running():
                raise ServiceError(f"the service ended under {row.name}")
    return results


async def _attack(row: Row, service: Serving, port: int, log: LogReader, bounds: Bounds) -> Result:
    client = GoodClient(port, drawn_requests(), bounds.per_s)
    await client.send(0.5)  # its connections are open
    before = await client.send(bounds.before_s)
    if row.run is unread_log:
        log.pause()
    started = time.perf_counter()
    attacker = Attacker(row, Target(port=port, service_pid=service.pid))
    try:
        await _wait_for_beginning(attacker)
        done = asyncio.Event()
        watching = asyncio.create_task(_watch(attacker, done if row.whole else None))
        during = await client.send(bounds.during_s, done if row.whole else None)
        watching.cancel()
    finally:
        counts, cpu_s = await asyncio.to_thread(attacker.stop)
    attacked_s = time.perf_counter() - started
    log.resume()
    after = await client.send(bounds.after_s)
    client.close()
    return Result(
        row=row,
        before=before,
        during=during,
        after=after,
        counts=counts,
        attacker_cores=cpu_s / attacked_s,
        own_bytes=service.own_bytes(),
    )


async def _wait_for_beginning(attacker: Attacker) -> None:
    await asyncio.to_thread(attacker.wait_until_it_begins)
    await asyncio.sleep(LEAD_S)


async def _watch(attacker: Attacker, done: asyncio.Event | None) -> None:
    while done and not attacker.has_ended():
        await asyncio.sleep(0.2)
    if done:
        done.set()


def siege_figures(results: Sequence[Result]) -> Figures:
    """The table has a row for each attack."""
    return Figures(
        summary={
            "attacks": len(results),
            "lowest_success_during": min(result.during.success for result in results),
            "highest_median_ratio": max((ratio for result in results if (ratio := _ratio(result))), default=None),
            "least_mib": min(result.own_bytes for result in results) / MIB,
            "most_mib": max(result.own_bytes for result in results) / MIB,
        },
        table=[_line(result) for result in results],
    )


def _ratio(result: Result) -> float | None:
    """The median during the attack by that of before; None if nothing was answered."""
    if result.during.median_ms is None or result.before.median_ms is None:
        return None
    return result.during.median_ms / result.before.median_ms


def _line(result: Result) -> Line:
    return {
        "attack": result.row.name,
        "what": result.row.what,
        "counts": ", ".join(f"{name}: {count}" for name, count in sorted(result.counts.items())),
        "attacker_cores": result.attacker_cores,
        "requests_during": result.during.requests,
        "sent_again_during": result.during.sent_again,
        "success_before": result.before.success,
        "success_during": result.during.success,
        "success_after": result.after.success,
        "median_ms_before": result.before.median_ms,
        "median_ms_during": result.during.median_ms,
        "median_ms_after": result.after.median_ms,
        "median_ratio": _ratio(result),
        "memory_mib": result.own_bytes / MIB,
    }


def _measure(options: argparse.Namespace) -> Figures:
    header = load_checkpoint(options.weights).header
    rows = [row for row in ATTACKS if row.name.replace(" ", "-") in options.attacks]
    bounds = Bounds(during_s=options.seconds)
    figures = siege_figures(uvloop.run(besiege(options.weights, options.device, rows, bounds)))
    model: Line = {"model": header.name, "embedding_sha256": header.embedding_sha256}
    return Figures(summary={**model, **figures.summary}, table=figures.table)


if __name__ == "__main__":
    sys.exit(main())
