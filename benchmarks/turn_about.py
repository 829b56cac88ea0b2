"""`python -m benchmarks.turn_about CHECKOUT`: this checkout's service compared with another's in the same run.

Both services run at the same time and are loaded in turns, so that other work on the machine slows both alike. The
ratios divide this checkout's value by the other's: the median, lowest and highest over the rounds.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.client import load
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.http import ENDLESS_QUEUE, IMAGES, WARM_UP, drawn_requests
from benchmarks.open_loop import OpenLoop
from benchmarks.record import Figures, Row
from benchmarks.service import Serving, serving
from benchmarks.timing import spread
from training.commands.options import positive

CONNECTIONS = (1, 4, 16)
# Requests come at this multiple of the other checkout's peak, whether or not they are answered.
OVERLOAD = 2.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The numbers of connections, the number of rounds and the length of a load."""

    connections: Sequence[int] = CONNECTIONS
    rounds: int = 5
    seconds: float = 8.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One load of one service: requests per second, median latency, CPU time per request."""

    per_s: float
    median_ms: float
    cpu_ms: float


@dataclass(kw_only=True)
class Measured:
    """Pairs of values, this checkout's first.

    `turns` are by number of connections; `goodput` is successful requests per second under overload.
    """

    turns: dict[int, list[tuple[Turn, Turn]]] = field(default_factory=dict)
    goodput: list[tuple[float, float]] = field(default_factory=list)
    start_s: tuple[float, float] = (0.0, 0.0)
    own_bytes: tuple[int, int] = (0, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    description = "Loads this checkout's service and another's in turns."
    parser = new_parser("turn-about", "benchmarks.turn_about", description, rounds=Bounds.rounds)
    parser.add_argument("checkout", type=Path, help="folder of the other checkout")
    add_weights(parser)
    parser.add_argument("--other-weights", type=Path, metavar="PATH", help="the other checkout's, if not the same")
    parser.add_argument("--connections", type=positive, nargs="+", default=CONNECTIONS, metavar="N", help="at a time")
    parser.add_argument("--seconds", type=positive, default=8, help="how long each load lasts")
    return run_benchmark(parser, arguments, _measure)


async def measure_turn_about(weights: Sequence[Path], device: str, other: Path, bounds: Bounds) -> Measured:
    """Loads both services with slots for all connections, then overloads them with their default slots.

    `weights` has this checkout's checkpoint and that of the checkout `other`.
    """
    served = list(zip(weights, (None, other), strict=True))
    requests, measured = drawn_requests(), Measured(turns={count: [] for count in bounds.connections})
    long_queue = ("--queue", str(IMAGES * max(bounds.connections)))  # older checkouts bound their queue by it alone
    with ExitStack() as stack:
        pair = [
            stack.enter_context(serving(path, device, *(long_queue if root else ENDLESS_QUEUE), root=root))
            for path, root in served
        ]
        for service in pair:
            await load(service.port, requests, connections=1, most=WARM_UP, seconds=bounds.seconds)
        for number in range(bounds.rounds):
            for connections, turns in measured.turns.items():
                turns.append(await _load_both(pair, number, requests, connections, bounds.seconds))
        measured.start_s = (pair[0].start_s, pair[1].start_s)
        measured.own_bytes = (pair[0].own_bytes(), pair[1].own_bytes())
    peak_per_s = median(theirs.per_s for _, theirs in measured.turns[max(bounds.connections)])
    with ExitStack() as stack:
        pair = [stack.enter_context(serving(path, device, root=root)) for path, root in served]
        for number in range(bounds.rounds):
            good = {
                which: await _goodput(pair[which].port, requests, OVERLOAD * peak_per_s, bounds.seconds)
                for which in _order(number)
            }
            measured.goodput.append((good[0], good[1]))
    return measured


def turn_about_figures(measured: Measured) -> Figures:
    """The table has a row for each number of connections."""
    return Figures(
        summary={
            **spread("goodput_ratio", [ours / theirs for ours, theirs in measured.goodput]),
            "start_ratio": measured.start_s[0] / measured.start_s[1],
            "memory_ratio": measured.own_bytes[0] / measured.own_bytes[1],
        },
        table=[_row(connections, turns) for connections, turns in measured.turns.items()],
    )


def _order(number: int) -> tuple[int, int]:
    """The order of the services in a round: this checkout's is 0, the other's is 1."""
    return (0, 1) if number % 2 == 0 else (1, 0)


async def _load_both(
    pair: Sequence[Serving], number: int, requests: Sequence[bytes], connections: int, seconds: float
) -> tuple[Turn, Turn]:
    turns = {which: await take_turn(pair[which], requests, connections, seconds) for which in _order(number)}
    return turns[0], turns[1]


async def take_turn(service: Serving, requests: Sequence[bytes], connections: int, seconds: float) -> Turn:
    """Loads a service for some seconds. Raises ServiceError at the first response other than 200."""
    before_s = service.cpu_s()
    found = await load(service.port, requests, connections, sys.maxsize, seconds)
    count = len(found.latencies_s)
    return Turn(
        per_s=count / found.elapsed_s,
        median_ms=1000 * median(found.latencies_s),
        cpu_ms=1000 * (service.cpu_s() - before_s) / count,
    )


async def _goodput(port: int, requests: Sequence[bytes], per_s: float, seconds: float) -> float:
    """Responses 200 per second that arrived while requests were being sent."""
    client = OpenLoop(port)
    answers = await client.send(requests, per_s, seconds)
    client.close()
    return sum(each.status == 200 and each.at_s + each.latency_s <= seconds for each in answers) / seconds


def _row(connections: int, turns: Sequence[tuple[Turn, Turn]]) -> Row:
    return {
        "connections": connections,
        "per_s": median(ours.per_s for ours, _ in turns),
        "other_per_s": median(theirs.per_s for _, theirs in turns),
        **spread("per_s_ratio", [ours.per_s / theirs.per_s for ours, theirs in turns]),
        **spread("median_ratio", [ours.median_ms / theirs.median_ms for ours, theirs in turns]),
        **spread("cpu_ratio", [ours.cpu_ms / theirs.cpu_ms for ours, theirs in turns]),
    }


def _measure(options: argparse.Namespace) -> Figures:
    bounds = Bounds(connections=options.connections, rounds=options.rounds, seconds=options.seconds)
    weights = [path.resolve() for path in (options.weights, options.other_weights or options.weights)]
    other = options.checkout.resolve()
    return turn_about_figures(asyncio.run(measure_turn_about(weights, options.device, other, bounds)))


if __name__ == "__main__":
    sys.exit(main())
