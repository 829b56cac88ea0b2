"""`python -m benchmarks.peers`: facepair's service beside other ways to verify faces, all loaded in turns in one run.

First each service runs alone: it must decide about every request, and its memory is measured. Then all of them run, but
only the one that is loaded gets the processor (the others are stopped by SIGSTOP), since some work while they wait.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.client import exchange, load
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.http import ENDLESS_QUEUE, WARM_UP, drawn_requests
from benchmarks.peers.installing import NAMES, ROOT, install, installed
from benchmarks.processes import resume, stop
from benchmarks.record import Figures, Row
from benchmarks.service import HOST, ServiceError, Serving, free_port, running, serving
from benchmarks.timing import spread
from benchmarks.turn_about import Bounds, Turn, take_turn
from training.commands.options import positive

OURS = "facepair"
MIB = 2**20
# Starts a service, which ends with the `with` block.
Start = Callable[[], AbstractContextManager[Serving]]


@dataclass(kw_only=True)
class Measured:
    """By service, facepair's first: its memory, and by number of connections a turn for each round."""

    own_bytes: dict[str, int] = field(default_factory=dict)
    turns: dict[str, dict[int, list[Turn]]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    description = "Loads facepair's service and its peers in turns."
    parser = new_parser("peers", "benchmarks.peers", description, rounds=Bounds.rounds, cpu_alone=True)
    add_weights(parser)
    parser.add_argument("--environments", type=Path, required=True, help="folder where the peers are installed")
    parser.add_argument("--install", action="store_true", help="installs the peers that are missing")
    parser.add_argument("--mobilefacenet", type=Path, metavar="FILE", help="the ONNX file of a MobileFaceNet")
    parser.add_argument("--peers", choices=NAMES, nargs="+", default=NAMES, help="which peers are compared")
    parser.add_argument("--connections", type=positive, nargs="+", default=Bounds.connections, help="at a time")
    parser.add_argument("--seconds", type=positive, default=8, help="how long each load lasts")
    return run_benchmark(parser, arguments, _measure)


def measure_peers(starts: Mapping[str, Start], bounds: Bounds) -> Measured:
    """Raises ServiceError if a service does not start, or does not decide about a request."""
    requests, measured = drawn_requests(), Measured()
    for name, start in starts.items():
        with _naming(name), start() as service:
            for request in requests:
                asyncio.run(require_decision(service.port, request))
            connections = max(bounds.connections)
            asyncio.run(load(service.port, requests, connections, connections, bounds.seconds))
            measured.own_bytes[name] = service.own_bytes()
    measured.turns = {name: {connections: [] for connections in bounds.connections} for name in starts}
    with ExitStack() as stack:
        services = {}
        for name, start in starts.items():
            with _naming(name):
                services[name] = stack.enter_context(start())
            stack.callback(resume, services[name].pid)
            stop(services[name].pid)
        for number in range(bounds.rounds):
            for connections in bounds.connections:
                for name in list(services)[:: 1 if number % 2 == 0 else -1]:
                    with _naming(name), _resumed(services[name]) as service:
                        turn = asyncio.run(_warm_turn(service, requests, connections, bounds.seconds))
                    measured.turns[name][connections].append(turn)
    return measured


def peers_figures(measured: Measured) -> Figures:
    """The table has a row for each service and number of connections. Ratios are facepair's value by that service's."""
    return Figures(
        summary={f"{name}_mib": size / MIB for name, size in measured.own_bytes.items()},
        table=[_row(name, connections, measured) for name, turns in measured.turns.items() for connections in turns],
    )


async def require_decision(port: int, request: bytes) -> None:
    """Raises ServiceError if the response to a request is not "same" or "different"."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        answer = await exchange(reader, writer, request)
    finally:
        writer.close()
    if answer.status != 200 or json.loads(answer.body)["decision"] not in ("same", "different"):
        raise ServiceError(f"the service answered {answer.status} without a decision: {answer.body[:200]!r}")


@contextmanager
def starting(command: Sequence[str]) -> Iterator[Serving]:
    """Runs a command, to which a free port is appended, and yields the service when it decides about a request."""
    port, [request, *_] = free_port(), drawn_requests()

    def decides() -> bool:
        try:
            asyncio.run(require_decision(port, request))
        except (OSError, EOFError, KeyError, ServiceError):  # Ray Serve listens before it knows its routes
            return False
        return True

    variables = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    with running([*command, str(port)], port, decides, root=ROOT, variables=variables) as service:
        yield service


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Makes every failure of a service a ServiceError that names it."""
    try:
        yield
    except (OSError, EOFError, ServiceError) as error:
        raise ServiceError(f"{name}: {error}") from error


@contextmanager
def _resumed(service: Serving) -> Iterator[Serving]:
    resume(service.pid)
    try:
        yield service
    finally:
        stop(service.pid)


async def _warm_turn(service: Serving, requests: Sequence[bytes], connections: int, seconds: float) -> Turn:
    await load(service.port, requests, connections, WARM_UP, seconds)
    return await take_turn(service, requests, connections, seconds)


def _row(name: str, connections: int, measured: Measured) -> Row:
    ours, theirs = measured.turns[OURS][connections], measured.turns[name][connections]
    both = list(zip(ours, theirs, strict=True))
    return {
        "service": name,
        "connections": connections,
        "per_s": median(turn.per_s for turn in theirs),
        "median_ms": median(turn.median_ms for turn in theirs),
        "cpu_ms": median(turn.cpu_ms for turn in theirs),
        **spread("per_s_ratio", [our.per_s / their.per_s for our, their in both]),
        **spread("median_ratio", [our.median_ms / their.median_ms for our, their in both]),
        **spread("cpu_ratio", [our.cpu_ms / their.cpu_ms for our, their in both]),
        "memory_ratio": measured.own_bytes[OURS] / measured.own_bytes[name],
    }


def _measure(options: argparse.Namespace) -> Figures:
    folder, weights = options.environments.resolve(), options.weights.resolve()
    if options.install:
        install(folder)
    commands = installed(folder, weights, options.mobilefacenet and options.mobilefacenet.resolve())
    taken = [name for name in options.peers if name in commands]
    starts: dict[str, Start] = {OURS: partial(serving, weights, "cpu", *ENDLESS_QUEUE)}
    starts |= {name: partial(starting, commands[name]) for name in taken}
    bounds = Bounds(connections=options.connections, rounds=options.rounds, seconds=options.seconds)
    figures = peers_figures(measure_peers(starts, bounds))
    left_out = ", ".join(name for name in NAMES if name not in taken)
    return Figures(summary={**figures.summary, "left_out": left_out or None}, table=figures.table)


if __name__ == "__main__":
    sys.exit(main())
